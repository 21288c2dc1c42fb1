"""The pages in a real browser, with a fleet of both kinds of worker behind them."""

import re
import time

import pytest

from canvas import Workflow
from canvas.graph.pictures.collapsed import run_picture
from tests.support import dashboards
from tests.support.chromium import Page, browser
from tests.support.dashboards import eventually

pytestmark = pytest.mark.timeout(400)
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>&amp;"
PAGES = ["", "workflows", "tasks", "workers", "workers/ours@h", "queues", "queues/celery", "schedules", "docs"]


@pytest.fixture(scope="module")
def fleet(bench):
    schedule = {"nightly": {"task": "t.add", "schedule": 3600.0, "args": (1, 2)}}
    with dashboards.fleet(bench, slots=2, beat_schedule=schedule) as page, browser() as chromium:
        page.chromium = chromium
        yield page


@pytest.fixture
def page(fleet):
    found = Page(fleet.chromium, fleet.url)
    found.page.set_default_timeout(30_000)
    yield found
    found.close()


def start(fleet, key, name="nightly"):
    """A run of a workflow whose node ``gate`` fails until the key is open."""
    flow = Workflow(name, fleet.app)
    rows = flow.add(fleet.app.signature("t.ident", ([1, 2, 3],)), name="rows")
    each = flow.map(fleet.app.signature("t.ident"), rows, name="each")
    gate = flow.add(fleet.app.signature("t.needs_gate", (2, key, key)), name="gate", after=each)
    flow.add(fleet.app.signature("t.ident", (gate,)), name="last")
    return flow.apply_async(labels={"customer": "acme"})


def test_a_run_that_fails_is_found_looked_into_and_resumed_by_clicks(fleet, page):
    key = fleet.bench.new_key()
    run = start(fleet, key)
    eventually(lambda: run.status().over)
    shown = page.open()
    shown.get_by_role("navigation").get_by_role("link", name="Workflows").click()
    shown.get_by_label("State").select_option("FAILURE")
    shown.get_by_role("link", name="nightly").first.click()
    shown.get_by_role("button", name="each ×n, succeeded, 3/3").wait_for()
    shown.get_by_role("button", name="last, not run").wait_for()
    shown.get_by_role("button", name="gate, failed").wait_for()
    errors = shown.get_by_role("status", name="Errors")
    assert errors.get_by_role("button").all_text_contents() == ["gate"]
    assert "ValueError: closed" in errors.text_content()
    errors.get_by_role("button", name="gate").click()
    detail = shown.get_by_role("complementary", name="Node")
    detail.get_by_text("ValueError: closed").first.wait_for()
    assert page.violations() == []
    fleet.bench.open(key)
    shown.get_by_role("button", name="Resume", exact=True).click()
    shown.get_by_role("button", name="Resume the run").click()
    shown.get_by_role("button", name="last, succeeded").wait_for()
    shown.get_by_text("4 of 4 nodes have ended").wait_for()
    assert errors.text_content() == ""
    shown.get_by_role("tab", name="Timeline").click()
    shown.locator(".timeline .bar").nth(3).wait_for()


@pytest.mark.slow
def test_failed_items_of_a_map_lead_to_their_tasks(fleet, page):
    flow = Workflow("items", fleet.app)
    flow.map(fleet.app.signature("t.fail"), flow.add(fleet.app.signature("t.ident", ([1],))), name="each")
    run = flow.apply_async()
    eventually(lambda: run.status().over)
    shown = page.open(f"workflows/{run.id}")
    shown.get_by_role("status", name="Errors").get_by_role("button", name="each").click()
    shown.get_by_role("complementary", name="Node").get_by_role("link", name="Item 0").click()
    shown.get_by_role("heading", name="Traceback").wait_for()
    assert page.violations() == []


@pytest.mark.slow
def test_the_overview_leads_to_the_causes(fleet, page):
    for at in range(3):
        fleet.app.send_task("t.add", (at, 1), queue="unserved")
    fleet.app.send_task("t.fail", (1,)).get(timeout=30, propagate=False)
    shown = page.open()
    shown.get_by_role("link", name="No worker consumes unserved, where 3 messages wait").click()
    shown.get_by_text("3 messages waiting").wait_for()
    shown.get_by_role("region", name="Next messages").get_by_role("link", name="t.add").wait_for()
    shown.get_by_role("link", name="its tasks").click()
    shown.get_by_role("heading", name="Tasks").wait_for()
    assert shown.get_by_label("Queue", exact=True).input_value() == "unserved"
    page.open().get_by_role("link", name=re.compile("^t.fail has failed")).click()
    shown.get_by_role("row", name="t.fail").first.get_by_role("link", name="t.fail", exact=True).click()
    shown.get_by_role("heading", name="Traceback").wait_for()
    page.open().get_by_role("link", name="Failed in the last hour").click()
    shown.get_by_role("row", name="t.fail").first.wait_for()
    assert page.violations() == []


@pytest.mark.slow
def test_dead_letters_are_chosen_and_put_back_or_deleted_by_clicks(fleet, page):
    for _ in range(5):
        fleet.app.send_task("t.unheard_of")
    eventually(lambda: fleet.get("/queues/celery/dead-letters")["total"] >= 5)
    total = fleet.get("/queues/celery/dead-letters")["total"]
    shown = page.open("queues/celery")
    shown.get_by_role("button", name="Delete chosen").wait_for()
    assert shown.get_by_role("button", name="Delete chosen").is_disabled()
    shown.get_by_label("Choose all").check()
    assert shown.locator("tbody input:checked").count() == total
    shown.locator("tbody input").first.uncheck()
    shown.get_by_role("button", name="Delete chosen").click()
    shown.get_by_role("button", name="Delete", exact=True).click()
    shown.get_by_text(f"Deleted: {total - 1}").wait_for()
    shown.get_by_text("1 dead letter", exact=True).wait_for()
    shown.get_by_role("button", name="Requeue all").click()
    shown.get_by_role("button", name="Requeue", exact=True).click()
    shown.get_by_text("Put back: 1").wait_for()
    assert page.violations() == []


@pytest.mark.slow
def test_a_schedule_is_paused_resumed_and_run_by_clicks(fleet, page):
    shown = page.open("schedules")
    shown.get_by_role("button", name="Pause nightly").click()
    shown.get_by_role("row", name="nightly").get_by_text("paused").wait_for()
    shown.get_by_role("button", name="Resume nightly").click()
    shown.get_by_role("button", name="Pause nightly").wait_for()
    shown.get_by_role("button", name="Run nightly now").click()
    shown.get_by_role("dialog").get_by_role("button", name="Run now").click()
    shown.get_by_text("Sent nightly").wait_for()
    eventually(lambda: fleet.get("/tasks", name="t.add", state="SUCCESS")["total"])


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 1360), ("light", 400)])
def test_axe_finds_nothing_serious(fleet, page, scheme, width):
    page.page.set_viewport_size({"width": width, "height": 900})
    fleet.app.send_task("t.unheard_of", (HOSTILE,))
    start(fleet, fleet.bench.new_key())
    fleet.app.send_task("t.add", (1, 2), queue="other").get(timeout=30)
    eventually(lambda: fleet.get("/queues/celery/dead-letters")["total"])
    for path in PAGES:
        shown = page.open(path)
        shown.evaluate(f"localStorage.setItem('theme', '{scheme}')")
        page.open(path)
        shown.wait_for_timeout(1_500)
        assert (path, page.violations()) == (path, [])
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the window"
    figures = page.open("workflows").get_by_text("/4").first
    figures.wait_for()
    assert figures.evaluate("cell => cell.getBoundingClientRect().right <= innerWidth"), "figures are scrolled out"


@pytest.mark.slow
def test_hostile_names_and_values_are_text(fleet, page):
    for queue in ("celery", "other"):
        fleet.app.send_task("t.ident", (HOSTILE,), queue=queue).get(timeout=30)
    failed = fleet.app.send_task("t.fail", (HOSTILE,))
    failed.get(timeout=30, propagate=False)
    fleet.app.send_task(HOSTILE, (HOSTILE,), queue=HOSTILE)
    key = fleet.bench.new_key()
    run = start(fleet, key, HOSTILE)
    eventually(lambda: run.status().over)
    for path in ("workflows", f"workflows/{run.id}", "tasks", f"tasks/{failed.id}", "queues", "queues/celery"):
        shown = page.open(path)
        shown.wait_for_timeout(2_500)
        assert "owned" not in shown.title()
        assert shown.locator("main img, main script").count() == 0
    page.open("tasks").get_by_text("<img src=x").first.wait_for()


@pytest.mark.slow
def test_a_stopped_redis_is_shown_and_recovers(fleet, page):
    shown = page.open()
    server = fleet.bench.server
    server.stop()
    try:
        shown.get_by_text("the broker has not answered for").wait_for()
        shown.get_by_text("the broker does not answer").wait_for()
    finally:
        server.start()
    shown.locator("#stale").wait_for(state="hidden", timeout=60_000)


@pytest.mark.slow
def test_the_keyboard_is_enough(fleet, page):
    key = fleet.bench.new_key()
    run = start(fleet, key)
    eventually(lambda: run.status().over)
    shown = page.open(f"workflows/{run.id}")
    shown.get_by_role("button", name="rows, succeeded").focus()
    for _ in range(2):
        shown.keyboard.press("ArrowRight")
    shown.keyboard.press("Enter")
    shown.get_by_role("complementary", name="Node").get_by_role("heading", name="gate").wait_for()
    shown.get_by_role("tab", name="Graph").focus()
    shown.keyboard.press("ArrowRight")
    shown.get_by_role("tab", name="Timeline", selected=True).wait_for()
    fleet.bench.open(key)
    shown.get_by_role("button", name="Resume", exact=True).press("Enter")
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")
    shown.get_by_text("4 of 4 nodes have ended").wait_for()
    assert run.get(timeout=30) is not None


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000, 10_000])
def test_large_runs_are_laid_out_at_once(fleet, page, size):
    """Nodes share boxes whose labels are readable; a box opens as a list of its nodes, or as boxes of their own."""
    flow, sig = Workflow("large", fleet.app), fleet.app.signature("t.ident", (1,), immutable=True)
    before = [flow.add(sig, name=f"first-{at}") for at in range(10)]
    layer = size // 10
    for depth in range(1, 10):
        before = [flow.add(sig, name=f"step-{depth}-{at}", after=before[at % len(before)]) for at in range(layer)]
    run = flow.apply_async()
    page.page.set_default_timeout(120_000)
    shown = page.open(f"workflows/{run.id}")
    shown.locator("g.node").first.wait_for()
    assert shown.locator("g.node").count() == 10
    assert all(
        box["height"] >= 10 for box in [one.bounding_box() for one in shown.locator("g.node text:not(.badge)").all()]
    )
    shown.get_by_role("button", name=re.compile("^step-4 × ")).click()
    panel = shown.get_by_role("complementary", name="Node")
    panel.get_by_role("button", name="step-4-0", exact=True).wait_for()
    assert panel.get_by_role("listitem").count() == min(200, size // 10)
    if size == 1_000:
        panel.get_by_role("button", name="Show each as a box").click()
        shown.get_by_role("button", name=re.compile("^step-4-50, ")).wait_for()
        shown.get_by_role("button", name="Collapse").click()
        shown.get_by_role("button", name=re.compile("^step-4 × 100")).wait_for()
    began = time.process_time()
    run_picture(run.nodes)
    assert time.process_time() - began < size / 1_000
    run.cancel()


@pytest.mark.slow
def test_ten_thousand_events_a_second_do_not_freeze_the_page(fleet, page):
    shown = page.open("tasks")
    shown.wait_for_timeout(2_000)
    shown.evaluate(
        "() => { window.longest = 0; let last = performance.now(); setInterval(() => {"
        "const now = performance.now(); longest = Math.max(longest, now - last); last = now; }, 20); }"
    )
    collector = fleet.dashboard.context.collector
    for second in range(5):
        for batch in range(0, 10_000, 24):
            events = [
                {
                    "type": "task-received",
                    "uuid": f"{second}-{batch + at}",
                    "hostname": "w@h",
                    "name": "t.flood",
                    "args": "(1,)",
                }
                for at in range(24)
            ]
            collector.take(events)
        shown.wait_for_timeout(1_000)
    assert shown.evaluate("longest") < 2_000, "the page did nothing for so many milliseconds"
    shown.get_by_text("t.flood").first.wait_for()
    assert shown.locator("tbody tr").count() <= 200
    heap = "performance.memory.usedJSHeapSize / 2 ** 20"
    first = shown.evaluate(heap)
    shown.wait_for_timeout(8_000)
    assert shown.evaluate(heap) < first + 40
