from celery import Celery

app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task(name="add")
def add(x, y=1):
    return x + y


@app.task(name="bad")
def bad():
    raise ValueError("no")


@app.task(name="total")
def total(numbers):
    return sum(numbers)


@app.task(name="tells", bind=True)
def tells(self):
    self.update_state(state="PROGRESS", meta={"done": 3})
    return "told"
