"""What cannot be sent is refused before anything is, naming the task and the mend."""

import warnings

import pytest

from canvas import Canvas, Workflow, chain, chord, group
from canvas.errors import CompositionError, ConfigurationError, EncodeError, InvalidTaskError, NotRegistered


@pytest.fixture
def app():
    app = Canvas("bad", broker="memory://bad-calls", backend="memory://bad-calls")
    app.task(name="t", typing=False)(lambda *args, **kwargs: None)
    yield app
    assert app.driver.admin.queue_length("celery") == 0
    app.close()


def test_values_that_cannot_be_written_are_found(app):
    t = app.tasks["t"]
    for call, place in [
        (t.s(1, {"deep": [1, {"x": object()}]}), r"t: args\[1\]\['deep'\]\[1\]\['x'\]"),
        (t.s(k={1, 2}), r"t: kwargs\['k'\]"),
        (t.s(1) | app.signature("later", (object(),)), r"later: args\[0\]"),
        (chord([t.s(1)], app.signature("body", kwargs={"x": object()})), r"body: kwargs\['x'\]"),
    ]:
        with pytest.raises(EncodeError, match=place):
            call.apply_async()


def test_arguments_of_the_wrong_kind(app):
    t = app.tasks["t"]
    with pytest.raises(TypeError, match="t: args must be a list or tuple"):
        t.apply_async("abc")
    with pytest.raises(TypeError, match="t: kwargs must be a mapping"):
        t.apply_async(kwargs=[1])
    with pytest.raises(TypeError, match="later: args"):
        app.send_task("later", 5)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"priority": "high"}, InvalidTaskError),
        ({"priority": True}, InvalidTaskError),
        ({"countdown": "soon"}, InvalidTaskError),
        ({"expires": object()}, InvalidTaskError),
        ({"headers": 3}, InvalidTaskError),
        ({"task_id": 5}, InvalidTaskError),
        ({"time_limit": "1"}, InvalidTaskError),
        ({"link": 3}, CompositionError),
        ({"serializer": "nope"}, ConfigurationError),
        ({"compression": "nope"}, ConfigurationError),
        ({"args": (1,)}, TypeError),
        ({"kwargs": {"k": 1}}, TypeError),
    ],
)
def test_options_of_the_wrong_kind(app, options, error):
    t = app.tasks["t"]
    wrong = t.s().set(**options)
    if "args" not in options and "kwargs" not in options:
        with pytest.raises(error):
            t.apply_async(**options)
    later = [chain(t.s(), wrong), chord([t.s()], wrong)]
    if "link" not in options:
        later.append(_linked(t.s(), wrong))
    if not options.keys().isdisjoint(("expires", "serializer", "compression")):
        later = []  # these are looked at when the message is made
    streamed = group(wrong if number == 300 else t.s() for number in range(301))
    first = (wrong, chain(wrong, t.s()), group(t.s(), wrong), chord([wrong], t.s()), chain(group(wrong), t.s()))
    for whole in (*first, *later):
        with pytest.raises(error):
            whole.apply_async()
    with pytest.raises(error):
        streamed.apply_async()
    assert app.driver.admin.purge("celery") == 200, "the first slice of the stream"


NODES = {
    "a task": lambda flow, t, wrong: flow.add(wrong),
    "a step": lambda flow, t, wrong: flow.add(chain(t, wrong)),
    "items": lambda flow, t, wrong: flow.map(wrong, over=[1]),
    "a loop": lambda flow, t, wrong: flow.loop(wrong, until=t, start=1, at_most=2),
    "a condition": lambda flow, t, wrong: flow.loop(t, until=wrong, start=1, at_most=2),
    "a compensation": lambda flow, t, wrong: flow.add(t, compensate=wrong),
    "a last task": lambda flow, t, wrong: flow.finally_(wrong),
    "a branch": lambda flow, t, wrong: flow.branch(flow.add(t), {"a": wrong}),
    "a page": lambda flow, t, wrong: flow.pages(t, wrong),
}


@pytest.mark.parametrize("place", NODES)
def test_options_of_nodes(app, place):
    t = app.tasks["t"]
    with pytest.raises(InvalidTaskError, match="t: priority"):
        NODES[place](Workflow("w", app), t.s(), t.s().set(priority="high"))
    flow = Workflow("w", app)
    flow.add(t.s().set(countdown=flow.add(t.s()), priority=3))
    assert len(flow) == 2


def _linked(sig, callback):
    sig.link(callback)
    return sig


def test_connections_are_ignored_aloud(app):
    with pytest.warns(UserWarning, match="'producer' has no meaning") as warned:
        app.tasks["t"].apply_async(producer=object())
    assert warned[0].filename == __file__
    with app.connection_or_acquire() as connection, warnings.catch_warnings(action="error"):
        app.tasks["t"].apply_async(connection=connection, producer=None)
    app.driver.admin.purge("celery")


def test_compositions_of_what_is_no_signature(app):
    t = app.tasks["t"]
    for make in (lambda: group(1), lambda: chain(t.s(), 3), lambda: chord([5], t.s()), lambda: chord(5, t.s())):
        with pytest.raises(CompositionError):
            make()
    with pytest.raises(TypeError):
        t.s() | 3
    for name in ("link", "link_error"):
        with pytest.raises(TypeError, match="Cannot add link to group"):
            group(t.s(), t.s()).apply_async(**{name: t.s()})


def test_queues_of_later_steps_are_known_or_refused():
    app = Canvas("q", broker="memory://q", backend="memory://q", task_queues=["a"], task_default_queue="a")
    app.conf.task_create_missing_queues = False
    t = app.task(name="t", typing=False)(lambda *args: None)
    for flow in (t.s().set(queue="b"), t.s() | t.s().set(queue="b"), chord([t.s()], t.s().set(queue="b"))):
        with pytest.raises(ConfigurationError, match="queue 'b' is not in task_queues"):
            flow.apply_async()


def test_chords_of_later_steps_need_results_too():
    app = Canvas("none", broker="memory://none")
    t = app.task(name="t", typing=False)(lambda *args: None)
    for flow in (chord([t.s()], t.s()), t.s() | group(t.s(), t.s()) | t.s()):
        with pytest.raises(ConfigurationError, match="result backend"):
            flow.apply_async()


def test_a_bound_task_whose_function_takes_no_first_argument_is_refused_where_it_is_made(app):
    def lonely():
        return 1

    def named(*, self):
        return self

    for function in (lonely, named):
        with pytest.raises(TypeError, match=r"bind=True passes the task as the first argument, and \w+\(\) takes none"):
            app.task(function, bind=True)
    assert app.task(lambda *args: len(args), name="any", bind=True)() == 1


def test_a_call_with_too_many_arguments_of_a_bound_task_names_the_first_parameter(app):
    task = app.task(lambda x: x, name="short", bind=True)
    with pytest.raises(
        TypeError, match=r"positional arguments? but \d (?:was|were) given \(bind=True: the function's first parameter"
    ):
        task.delay(1)


def test_an_unregistered_name_says_where_it_is_not_registered():
    assert str(NotRegistered("m.ad")) == "no task 'm.ad' is registered where it was to run: import its module there"
    assert (NotRegistered("m.ad").args, str(NotRegistered("a text that says why"))) == (
        ("m.ad",),
        "a text that says why",
    )


def _functions():
    def plain(x, y=1): ...
    def by_name(x, y, *, z): ...
    def open_ended(x, *rest, z=2, **more): ...
    def nothing(): ...

    return [plain, by_name, open_ended, nothing]


@pytest.mark.parametrize("args", [(), (1,), (1, 2), (1, 2, 3)])
@pytest.mark.parametrize("kwargs", [{}, {"x": 1}, {"z": 1}, {"unknown": 1}])
@pytest.mark.parametrize("number", range(4))
def test_arguments_that_do_not_fit_have_celerys_words(number, args, kwargs):
    import celery

    said = []
    for kind, options in ((Canvas, {"broker": "memory://"}), (celery.Celery, {"broker": "memory://"})):
        task = kind("words", set_as_current=False, **options).task(_functions()[number], name="words")
        try:
            task.check_typing(args, kwargs) if kind is Canvas else task.__header__(*args, **kwargs)
        except TypeError as exc:
            said.append(str(exc))
        else:
            said.append(None)
    assert said[0] == said[1]
