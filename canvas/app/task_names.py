"""What a function is called as a task (Celery's rules)."""

import sys


def task_name(app_main: str | None, function: str, module: str | None) -> str:
    """``module.function``; for ``__main__`` the app's ``main`` takes the module's place where it has one."""
    module = module or "__main__"
    loaded = sys.modules.get(module)
    if loaded is not None:
        module = loaded.__name__
    if module == "__main__" and app_main:
        return f"{app_main}.{function}"
    return ".".join(part for part in (module, function) if part)
