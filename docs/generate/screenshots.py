"""``python -m docs.generate.screenshots`` takes the pictures of the dashboard, and the social card, with Chromium.

Two workers run the app of ``docs/generate/shop.py`` on a private Redis server for half a minute.
"""

import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.chromium import browser
from tests.support.dashboards import Served, eventually
from tests.support.redis_server import RedisServer

DOCS = Path(__file__).parent.parent
IMAGES = DOCS / "how-to" / "images"
FOLDER = Path(tempfile.gettempdir()) / "shop"
"""Where the workers run the app: its path is in the picture of a traceback."""
SECONDS = 30
CARD = """
<body style="margin:0;width:1200px;height:630px;background:#009485;color:white;font-family:sans-serif;display:flex;
flex-direction:column;justify-content:center;box-sizing:border-box;padding:60px">
<div style="font-size:84px;font-weight:700">canvas</div>
<div style="font-size:34px;margin:8px 0 32px">The engine for Celery workflows: any graph of tasks, on fast workers or on
Celery's. Nothing lost, nothing twice.</div>
<div style="background:white;border-radius:16px;padding:20px;text-align:center">
<img src="data:image/svg+xml;base64,{graph}" height="285">
</div></body>
"""


def card(page: object) -> None:
    """The picture that other sites show with a link to the documentation."""
    graph = base64.b64encode((DOCS / "pictures" / "day-end.svg").read_bytes()).decode()
    page.set_viewport_size({"width": 1200, "height": 630})
    page.set_content(CARD.format(graph=graph))
    page.screenshot(path=DOCS / "pictures" / "card.png")


def traffic(shop: object) -> object:
    """Send tasks for some time, and a workflow whose node fails; the run."""
    run = shop.day_end("monday").apply_async()
    for number in range(3):
        shop.app.send_task("shop.wrap", (number,))
        shop.app.send_task("shop.mail", (number,), queue="mail")
    end = time.monotonic() + SECONDS
    item = 0
    while time.monotonic() < end:
        for _ in range(item % 23):
            shop.price.apply_async((item,), queue="prices")
            item += 1
        item += 1
        time.sleep(0.5)
    eventually(lambda: run.state == "FAILURE")
    return run


def worker(name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A worker of the shop."""
    command = [sys.executable, "-m", "canvas", "-A", "shop", "worker", "-c", "4", "-P", "threads", "-E"]
    command += ["-Q", "celery,prices", "-n", f"{name}@shop", "-l", "CRITICAL"]
    return subprocess.Popen(command, env=environment, cwd=FOLDER)


def shots(chromium: object, served: Served, run: object) -> None:
    """Open the pages and take their pictures."""
    light, dark = chromium.new_page(**_window("light")), chromium.new_page(**_window("dark"))
    for page, path, name in (
        (light, "", "overview"), (light, f"workflows/{run.id}", "run"), (light, "queues", "queues"),
        (dark, f"workflows/{run.id}", "run-dark"),
    ):  # fmt: skip
        page.goto(f"{served.url}/{path}")
        page.locator("main h1").first.wait_for()
        if name == "run":
            page.locator("svg [data-node='book'], svg g:has-text('book')").last.click()
            page.get_by_text("ConnectionError").first.wait_for()
        if name == "run-dark":
            page.get_by_text("Timeline").first.click()
        page.wait_for_load_state("load")
        page.wait_for_timeout(1500)  # charts are drawn in steps
        page.screenshot(path=IMAGES / f"dashboard-{name}.png")
    card(chromium.new_page())


def _window(scheme: str) -> dict[str, object]:
    return {"viewport": {"width": 1280, "height": 720}, "color_scheme": scheme}


def main() -> None:
    """Start the servers, take the pictures, end the servers."""
    with RedisServer() as server:
        os.environ["SHOP_REDIS"] = f"redis://127.0.0.1:{server.port}"
        FOLDER.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).parent / "shop.py", FOLDER)
        sys.path.insert(0, str(FOLDER))
        import shop

        workers = [worker(name, dict(os.environ)) for name in ("worker1", "worker2")]
        try:
            with Served(shop.app) as served, browser() as chromium:
                shots(chromium, served, traffic(shop))
        finally:
            for one in workers:
                one.terminate()
            for one in workers:
                one.wait(30)
            shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
