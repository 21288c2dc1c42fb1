"""The services of an app are dropped when what they are made from changes, and when the app is closed."""

from canvas import Canvas
from canvas.app.services import TABLE


def used(**settings):
    app = Canvas("x", set_as_current=False, **{"broker": "memory://", "backend": "memory://", **settings})
    for service in TABLE:
        getattr(app, service.name)
    return app


def kept(app):
    return {service.name for service in TABLE if service.name in app.__dict__}


def test_each_service_stands_after_its_parts():
    seen = {"conf"}
    for service in TABLE:
        assert service.parts <= seen, service.name
        seen.add(service.name)


def test_close_drops_every_service():
    app = used()
    before = app.driver
    app.close()
    assert kept(app) == set()
    assert app.driver is not before
    assert app.runs is app.runs


def test_a_setting_drops_what_is_made_from_it():
    app = used()
    app.conf.task_routes = {"a": {"queue": "b"}}
    assert kept(app) == {service.name for service in TABLE} - {"router", "client", "plain_calls", "sent_events"}
    assert app.router.route("a", {}).routing_key == "b"


def test_another_broker_drops_what_uses_its_connection():
    app = used()
    app.conf.broker_url = "memory://other"
    assert not kept(app) & {"driver", "backend", "run_store"}


def test_config_from_object_after_first_use_counts():
    app = used()
    app.config_from_object({"task_routes": {"a": {"queue": "c"}}})
    assert app.router.route("a", {}).routing_key == "c"
    assert app.client is app.client
