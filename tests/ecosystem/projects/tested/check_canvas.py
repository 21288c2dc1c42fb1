def test_canvas_fixtures(canvas_app, sent):
    add = canvas_app.task(name="add")(lambda x, y: x + y)
    canvas_app.task(name="other")(lambda: None).delay()
    add.apply_async((1, 2), queue="fast")
    assert sent.names == ["other", "add"]
    assert sent.of(add)[0].args == (1, 2)
    assert (sent.of("add")[0].queue, len(sent)) == ("fast", 2)


def test_a_redis_server(canvas_redis):
    from canvas import Canvas

    app = Canvas("r", broker=canvas_redis.url(0), backend=canvas_redis.url(1), set_as_current=False)
    app.send_task("x")
    assert app.connection().default_channel.queue_declare("celery").message_count == 1
