"""The files of the examples, as blocks of code."""

from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def fastapi_tasks() -> str:
    """The tasks of the FastAPI example."""
    return _block("web_fastapi/tasks.py")


def fastapi_web() -> str:
    """The application of the FastAPI example."""
    return _block("web_fastapi/web.py")


def flask() -> str:
    """The Flask example."""
    return _block("web_flask/shop.py")


def _block(name: str) -> str:
    path = EXAMPLES / name
    return f"```python\n# {path.name}\n{path.read_text().rstrip()}\n```"
