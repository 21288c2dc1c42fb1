"""Result stores by Celery's classes of backends: the classes that programs derive theirs from, and their names."""

from typing import TYPE_CHECKING

from canvas.result.backend_classes.target import BackendApp, ResultTarget, StoringApp

if TYPE_CHECKING:
    from canvas.result.celery_backend import CeleryBackend

__all__ = ["BackendApp", "ResultTarget", "StoringApp", "backend_of", "result_target"]


def result_target(app: BackendApp) -> ResultTarget:
    """Where the app's settings say that results are kept. Raises ConfigurationError for a class that cannot be used."""
    from canvas.drivers import serves_results

    given, aliases = app.backend_cls or app.conf.result_backend or None, app.backend_aliases
    if not aliases and (given is None or (isinstance(given, str) and serves_results(given))):
        return ResultTarget(given)
    # Imported late: most programs give a URL.
    from canvas.result.backend_classes.finding import target_of

    return target_of(app, given, aliases)


def backend_of(app: StoringApp) -> "CeleryBackend":
    """The result side of an app."""
    from canvas.result.celery_backend import CeleryBackend

    results, chords = app.driver.results, app.driver.chords
    found: CeleryBackend | None = app.result_target.bound(results, chords)
    return found if found is not None else CeleryBackend(results, chords, app.conf, app)
