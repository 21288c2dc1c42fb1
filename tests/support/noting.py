"""An app whose chords and errbacks leave a note, for tests of chords that cannot end well."""

from canvas import Canvas


def noting_app(name, broker, backend):
    """An app with the task ``total`` for bodies and the errback ``note``; ``app.noted`` has the ids that it was given."""
    app = Canvas(name, broker=broker, backend=backend, set_as_current=False)
    app.noted = []

    @app.task(name="total")
    def total(values, more=None):
        return sum(values)

    @app.task(name="note")
    def note(task_id):
        app.noted.append(task_id)

    return app
