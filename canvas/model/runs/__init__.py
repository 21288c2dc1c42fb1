"""The words of workflows' runs beside their nodes."""
