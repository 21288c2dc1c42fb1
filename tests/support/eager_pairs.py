"""Apps of canvas and of Celery, alike, whose tasks run in this process."""

LIBRARIES = ("canvas", "celery")


def make(library, **settings):
    lib = __import__(library)
    options = {"broker": "memory://eager-as-celery", "set_as_current": False}
    app = lib.Celery("eager", backend="cache+memory://", **options) if library == "celery" else lib.Canvas(**options)
    app.conf.update(**settings)
    return lib, app


def ended(call):
    try:
        result = call()
        return [result.state, repr(result.result), repr(result.get(propagate=False))]
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is compared
        return [type(exc).__name__, str(exc)]
