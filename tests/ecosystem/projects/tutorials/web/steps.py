"""The tutorial's tests."""

import time
from unittest.mock import patch

from fastapi.testclient import TestClient
from main import app
from worker import create_task

client = TestClient(app)
print(create_task.run(1), create_task.run(2))
with patch("worker.create_task.run") as mock_run:
    assert create_task.run(1)
    create_task.run.assert_called_once_with(1)
response = client.post("/tasks", json={"type": 1})
content = response.json()
task_id = content["task_id"]
assert task_id
content = client.get(f"tasks/{task_id}").json()
print(content == {"task_id": task_id, "task_status": "PENDING", "task_result": None} or content["task_status"])
while content["task_status"] == "PENDING":
    time.sleep(0.02)
    content = client.get(f"tasks/{task_id}").json()
print(content == {"task_id": task_id, "task_status": "SUCCESS", "task_result": True})
