"""Any acyclic graph of tasks: composed here, run by workers, looked at and steered while it runs."""

from canvas.workflows.compose import Workflow
from canvas.workflows.decorator import workflow
from canvas.workflows.node import Branch, Node

__all__ = ["Branch", "Node", "Workflow", "workflow"]
