from tasks import add

result = add.delay(4, 4)
print(result.get(timeout=20), result.ready(), result.state, result.successful())
failing = add.delay("4", 4)
print(repr(failing.get(timeout=20, propagate=False)), failing.failed(), failing.state)
print(failing.traceback.splitlines()[-1])
try:
    failing.get(timeout=1)
except TypeError as exc:
    print(exc)
for call in (lambda: add.delay(4), lambda: add.delay(4, z=4)):
    try:
        call()
    except TypeError as exc:
        print(exc)
result.forget()
print(result.state)
