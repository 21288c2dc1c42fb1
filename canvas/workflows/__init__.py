"""Any acyclic graph of tasks: composed here, run by workers, looked at and steered while it runs."""

from canvas.workflows.builder import Workflow
from canvas.workflows.decorator import workflow
from canvas.workflows.references import Branch, Node

__all__ = ["Branch", "Node", "Workflow", "workflow"]
