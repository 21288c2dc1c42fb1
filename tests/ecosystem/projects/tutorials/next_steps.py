from celery import chain, chord, group, signature
from proj.celery import app
from proj.tasks import add, mul, xsum

print(add.apply_async((2, 2), queue="hipri", countdown=0.1).get(timeout=20), add(2, 2))
res = add.delay(2, "2")
print(repr(res.get(propagate=False, timeout=20)), res.failed(), res.successful(), res.state)
print(add.signature((2, 2), countdown=10), add.s(2, 2), add.s(2), signature("proj.tasks.add", args=(2, 2)))
print(add.s(2, 2).delay().get(timeout=20), add.s(2).delay(8).get(timeout=20))
s3 = add.s(2, 2, debug=True)
print(s3, s3.clone(kwargs={"debug": False}).kwargs)
print(group(add.s(i, i) for i in range(10))().get(timeout=20))
print(group(add.s(i) for i in range(10))(10).get(timeout=20))
print(chain(add.s(4, 4) | mul.s(8))().get(timeout=20), (add.s(4, 4) | mul.s(8)))
print(chain(add.s(4) | mul.s(8))(4).get(timeout=20))
print(chord((add.s(i, i) for i in range(10)), xsum.s())().get(timeout=20))
print((group(add.s(i, i) for i in range(10)) | xsum.s())().get(timeout=20))
print(add.map.__name__, list(add.starmap([(1, 2)]).apply_async().get(timeout=20)), xsum.map([[1], [2]]).delay().get())
print(add.chunks([(n, n) for n in range(10)], 5)().get(timeout=20), add.apply_async((2, 2), link=mul.s(16)).get())
print(sorted(queue["name"] for queue in app.control.inspect().active_queues().popitem()[1]))
print(app.control.ping()[0].popitem()[1])
print(sorted(app.control.inspect().registered().popitem()[1]))
print(app.control.inspect(["nobody@h"], timeout=0.5).active())
