"""Any acyclic graph of tasks: composed here, run by workers, shown and controlled while it runs."""
