import { get } from "../api.js";
import { chart } from "../charts.js";
import { cell, fill, h, link, number, path, table, tile } from "../dom.js";
import { alive, count, rate, seconds, waited } from "../format.js";

const PROBLEMS = 12;
/** The pages behind the figures. */
const PAGES = { "Workers alive": "workers", "Tasks a second": "tasks", "Failed in the last hour": "tasks?state=FAILURE&since=1h", "Waiting messages": "queues", "Oldest message": "queues", "Runtime, median": "tasks?state=SUCCESS", "Wait, median": "queues", "Dead letters": "queues", "Workflows running": "workflows?state=STARTED", "Workflows failed": "workflows?state=FAILURE" };

export function page(place) {
  const tiles = Object.fromEntries(Object.entries(PAGES).map(([name, page]) => [name, tile(name, page)]));
  const charts = [chart("Tasks a second", "/s"), chart("Waiting messages", ""), chart("Runtime", seconds, 0.001), chart("Workers", "")];
  const queues = table("Queues", ["Queue", "#Waiting", "#Oldest", "#In a second", "#Out a second", "#Dead letters", "#Consumers"]);
  const attention = h("section", { class: "panel attention", hidden: true }, h("h2", null, "Needs attention"), h("ul", { role: "list" }));
  place.append(h("div", { class: "head" }, h("h1", null, "Overview")), attention, h("dl", { class: "tiles" }, Object.values(tiles).map((one) => one.element)),
    h("div", { class: "charts" }, charts.map((one) => one.element)), h("h2", null, "Queues"), queues.element);

  function heard(o) {
    attention.hidden = !o.problems.length;
    fill(attention.lastChild, o.problems.slice(0, PROBLEMS), (one) => [...one.page, ...Object.values(one.query)].join("/"), (one) => h("li", null, link(`${path(...one.page)}${Object.keys(one.query).length ? `?${new URLSearchParams(one.query)}` : ""}`, one.text)));
    const workers = alive(o);
    if (workers === undefined) tiles["Workers alive"].show("unknown", "the broker does not answer");
    else tiles["Workers alive"].show(workers, `${count(o.workers.active)} tasks run`, o.workers.known > 0 && !o.workers.alive);
    tiles["Tasks a second"].show(rate(o.rates.succeeded ?? 0), `${rate(o.rates.received ?? 0)} received a second`);
    tiles["Failed in the last hour"].show(count(o.totals.failed ?? 0), `${count(o.totals.retried ?? 0)} retried`, (o.totals.failed ?? 0) > 0);
    tiles["Waiting messages"].show(count(o.waiting), `${count(o.in_flight.leased ?? 0)} leased, ${count(o.in_flight.delayed ?? 0)} delayed`);
    tiles["Oldest message"].show(waited(o) || "–");
    tiles["Runtime, median"].show(seconds(o.latency.runtime.p50) || "–", `95 %: ${seconds(o.latency.runtime.p95) || "–"}, 99 %: ${seconds(o.latency.runtime.p99) || "–"}`);
    const wait = o.latency.wait;
    if (wait.p50 === null) tiles["Wait, median"].show("unknown", (o.rates.received ?? 0) > 0 ? "no events of sending: task_send_sent_event" : "no task started lately");
    else tiles["Wait, median"].show(seconds(wait.p50), `95 %: ${seconds(wait.p95)}, 99 %: ${seconds(wait.p99)}`);
    tiles["Dead letters"].show(count(o.dead), "", o.dead > 0);
    tiles["Workflows running"].show(o.runs.running === undefined ? "–" : count(o.runs.running));
    tiles["Workflows failed"].show(o.runs.failed === undefined ? "–" : count(o.runs.failed), "", (o.runs.failed ?? 0) > 0);
    queues.show(o.queues, (q) => q.name, (q) => h("tr", null, cell(link(`queues/${path(q.name)}`, q.name)), number(count(q.waiting)), number(waited(q)),
      number(q.incoming === null ? "–" : rate(q.incoming)), number(q.outgoing === null ? "–" : rate(q.outgoing)), number(count(q.dead)), number(count(q.consumers.length))), "No queue is known yet.");
  }

  async function load() {
    const found = await get("series");
    const line = (label, colour, name) => ({ label, colour, values: found[name] ?? found.time.map(() => null) });
    charts[0].draw(found.time, [line("succeeded", "good", "succeeded"), line("failed", "bad", "failed"), line("retried", "warn", "retried")]);
    charts[1].draw(found.time, [line("waiting", "busy", "waiting")]);
    charts[2].draw(found.time, [line("median", "busy", "p50"), line("95 %", "violet", "p95")]);
    charts[3].draw(found.time, [line("alive", "good", "workers")]);
  }

  return { heard, load, leave: () => charts.forEach((one) => one.leave()) };
}
