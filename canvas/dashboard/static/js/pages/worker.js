import { act, get } from "../api.js";
import { ask, cell, clipped, facts, h, link, number, path, table } from "../dom.js";
import { count, memory, seconds, shortId, time } from "../format.js";

const ACTIONS = [
  ["grow", "Grow pool", "Add worker processes or threads.", { n: { label: "How many", value: 1, type: "number" } }], ["shrink", "Shrink pool", "Remove worker processes or threads.", { n: { label: "How many", value: 1, type: "number" } }],
  ["autoscale", "Autoscale", "Change the limits of the pool's size.", { min: { label: "At least", value: 1, type: "number" }, max: { label: "At most", value: 4, type: "number" } }],
  ["rate-limit", "Rate limit", "Change the rate limit of a task.", { task: { label: "Task" }, rate: { label: "Rate, such as 10/s" } }],
  ["time-limit", "Time limits", "Change the time limits of a task.", { task: { label: "Task" }, soft: { label: "Soft, seconds", type: "number", required: false }, hard: { label: "Hard, seconds", type: "number", required: false } }],
  ["add-consumer", "Add queue", "Let the worker consume another queue.", { queue: { label: "Queue" } }], ["cancel-consumer", "Remove queue", "Let the worker consume a queue no more.", { queue: { label: "Queue" } }],
  ["restart", "Restart pool", "Replace the pool's processes.", {}], ["shutdown", "Shut down", "The worker ends once its tasks have ended.", {}],
];
const NUMBERS = new Set(["n", "min", "max", "soft", "hard"]);

/** The memory of a worker's processes; a worker of Celery tells only the peak of its main process. */
function used({ memory: all, processes }) {
  const sizes = Object.entries(processes);
  if (!sizes.length) return all && `${memory(all)} at the peak of its main process; those of its pool are unknown`;
  return sizes.length > 1 ? `${memory(all)} in ${sizes.length} processes: ${sizes.map(([pid, size]) => `${memory(size)} (${pid})`).join(", ")}` : memory(all);
}

export function page(place, { rest: name, refresh }) {
  const head = h("div"), note = h("p", { class: "banner", hidden: true }), buttons = h("div", { class: "row" }), about = h("div", { class: "panel" });
  const lists = Object.fromEntries(["active", "reserved", "scheduled"].map((kind) => [kind, table(`Tasks, ${kind}`, ["Task", "Arguments", kind === "scheduled" ? "#Due" : "#Since"])]));
  const registered = h("pre", { tabindex: 0 });
  place.append(h("div", { class: "head" }, head, buttons), note, about, Object.entries({ active: "Running", reserved: "Prefetched", scheduled: "Waiting for their time" }).flatMap(([kind, title]) => [h("h2", null, title), lists[kind].element]).reduce((all, one) => { all.append(one); return all; }, h("div")), h("h2", null, "Registered tasks"), registered);

  async function steer([action, label, text, fields]) {
    const given = await ask(`${label}: ${name}`, text, label, fields, action === "shutdown");
    if (given === null) return;
    const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "").map(([key, value]) => [key, NUMBERS.has(key) ? Number(value) : value]));
    await act(`workers/${path(name)}/${action}`, body);
    await refresh();
  }
  async function load() {
    const one = await get(`workers/${path(name)}`);
    head.replaceChildren(h("h1", null, one.name), h("div", { class: "row" }, h("span", { class: `state ${one.alive ? "s-good" : "s-bad"}` }, one.alive ? "online" : "offline"), h("span", { class: "soft" }, `${one.library} ${one.version ?? ""}`)));
    const answer = one.answered ? ["What follows is from its answer at ", time(one.answered), "."] : ["It has not answered yet."];
    note.hidden = one.alive && !one.silent;
    if (!note.hidden) note.replaceChildren(one.alive ? "The worker sends heartbeats, and did not answer now: a task may hold its interpreter. " : `The worker has sent no heartbeat for ${one.heartbeat ? seconds(Date.now() / 1000 - one.heartbeat) : "a long time"}. `, ...answer);
    buttons.hidden = !one.alive;
    if (!buttons.children.length && one.can) buttons.append(...ACTIONS.map((action) => h("button", { type: "button", class: action[0] === "shutdown" ? "danger" : null, onclick: () => steer(action) }, action[1])));
    about.replaceChildren(facts([["Pool", one.pool && `${one.pool}, ${one.concurrency} at once`], ["Running", count(one.active)], ["Prefetch count", count(one.prefetched)], ["Processed", count(one.processed)], ["Process id", one.pid && String(one.pid)], ["Memory", used(one)], ["Uptime", one.uptime && seconds(one.uptime)], ["Load", one.loadavg?.join(", ")], ["Queues", one.queues.join(", ")], ["Last heartbeat", time(one.heartbeat)]]));
    for (const [kind, list] of Object.entries(lists)) list.show(one.tasks[kind], (task) => task.id, (task) => h("tr", null, cell(link(`tasks/${path(task.id ?? "")}`, task.name ?? "?"), h("div", { class: "soft mono" }, shortId(task.id ?? ""))), clipped(task.args), number(task.eta ? time(Date.parse(task.eta) / 1000) : time(task.since))), one.silent ? "Unknown: the worker did not answer." : "None.");
    registered.textContent = one.registered.join("\n");
  }
  function failed(error) { if (!head.children.length) head.replaceChildren(h("h1", null, name), h("p", { class: "soft" }, error.message)); }
  return { load, failed };
}
