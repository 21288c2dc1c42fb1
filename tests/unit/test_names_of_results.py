"""Names of Celery's results that packages use although they are not documented."""

from canvas import Canvas, GroupResult, group


def test_the_stored_record_by_celerys_keys():
    app = Canvas("names", broker="memory://names", backend="memory://names", set_as_current=False)
    add = app.task(name="add", shared=False)(lambda x, y: x + y)
    result = app.AsyncResult("1")
    assert result._get_task_meta() == {"status": "PENDING", "result": None}
    app.backend.store_result("1", {"current": 3, "total": 9}, "PROGRESS")
    found = result._get_task_meta()
    assert (found["status"], found["result"]) == ("PROGRESS", {"current": 3, "total": 9})
    app.backend.store_result("1", 5, "SUCCESS")
    assert (result.get(timeout=5), result._get_task_meta()["result"]) == (5, 5)
    app.backend.forget("1")
    assert result._get_task_meta()["status"] == "SUCCESS"
    assert add.apply((1, 2))._get_task_meta()["result"] == 3
    result.task_id = "2"
    assert (result.id, result.task_id) == ("2", "2")
    assert result.supports_native_join
    assert group(add.s(1, 1), app=app).apply().supports_native_join
    app.close()


def test_groups_that_the_backend_keeps():
    app = Canvas("kept", broker="memory://kept", backend="memory://kept", set_as_current=False)
    backend = app.backend
    given = app.GroupResult("g", [app.AsyncResult("1"), app.AsyncResult("2")])
    backend.save_group("g", given)
    found = backend.restore_group("g")
    assert isinstance(found, GroupResult)
    assert (found.id, [one.id for one in found.results]) == ("g", ["1", "2"])
    backend.delete_group("g")
    assert backend.restore_group("g") is None
    app.close()
