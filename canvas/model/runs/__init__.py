"""The data of workflows' runs beside their nodes."""
