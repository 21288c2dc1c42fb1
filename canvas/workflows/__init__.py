"""Any acyclic graph of tasks: composed here, run by workers, looked at and steered while it runs."""
