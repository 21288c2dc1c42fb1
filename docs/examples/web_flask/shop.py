"""Flask's factory with canvas: ``flask --app shop run``, ``canvas -A shop:canvas_app worker -l INFO``."""

import os
from typing import Any

from flask import Flask, current_app, request

from canvas import AsyncResult, Canvas, Task, shared_task

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379")


def make_canvas(flask: Flask) -> Canvas:
    """The app of canvas whose tasks run in the context of a Flask application."""

    class FlaskTask(Task[Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with flask.app_context():
                return self.run(*args, **kwargs)

    made = Canvas(flask.name, task_cls=FlaskTask)
    made.config_from_object(flask.config["CANVAS"])
    made.set_default()
    flask.extensions["canvas"] = made
    return made


@shared_task
def greet(name: str) -> str:
    return f"{current_app.config['GREETING']} {name}"


def create_app() -> Flask:
    flask = Flask("shop")
    flask.config.from_mapping(
        GREETING="Hello", CANVAS={"broker_url": f"{REDIS}/0", "result_backend": f"{REDIS}/1"}
    )  # fmt: skip
    make_canvas(flask)

    @flask.post("/greetings")
    def start() -> dict[str, str]:
        return {"id": greet.delay(request.form["name"]).id}

    @flask.get("/greetings/<task_id>")
    def read(task_id: str) -> dict[str, Any]:
        result: AsyncResult[str] = flask.extensions["canvas"].AsyncResult(task_id)
        return {"ready": result.ready(), "greeting": result.result if result.successful() else None}

    return flask


app = create_app()
canvas_app = app.extensions["canvas"]
