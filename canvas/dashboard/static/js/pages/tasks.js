import { get } from "../api.js";
import { cell, clipped, h, link, nowrap, number, path, table } from "../dom.js";
import { filters, moment } from "../filters.js";
import { count, seconds, shortId, state, time } from "../format.js";

export function page(place, { query, refresh }) {
  const search = filters({ text: { label: "Search", hint: "id, name, arguments, result" }, name: { label: "Task", hint: "exact name" }, state: { label: "State", options: ["PENDING", "RECEIVED", "STARTED", "SUCCESS", "FAILURE", "RETRY", "REVOKED", "REJECTED"] },
    worker: { label: "Worker", hint: "exact name" }, queue: { label: "Queue", hint: "exact name" }, since: { label: "Since", hint: "15m, 2h" } }, query, refresh);
  const total = h("p", { class: "soft" });
  const rows = table("Tasks", ["Task", "State", "Arguments", "Result", "Worker, queue", "Last event", "#Runtime"]);
  const live = h("input", { type: "checkbox", checked: true });
  place.append(h("div", { class: "head" }, h("div", null, h("h1", null, "Tasks"), total), h("label", { class: "row" }, live, "Live")), search.element, rows.element);
  let loaded = false;

  async function load() {
    if (loaded && !live.checked) return;
    const values = search.values();
    const found = await get("tasks", { ...values, since: values.since ? moment(values.since) : "", limit: 200 });
    loaded = true;
    total.textContent = `${count(found.total)} in memory`;
    rows.show(found.tasks, (task) => task.id, (task) => h("tr", null, cell(link(`tasks/${path(task.id)}`, task.name ?? "?"), h("div", { class: "soft mono" }, shortId(task.id))), nowrap(state(task.state)),
      clipped(`${task.args ?? ""} ${task.kwargs && task.kwargs !== "{}" ? task.kwargs : ""}`), clipped(task.state === "SUCCESS" ? task.result : task.exception ?? task.result), nowrap(task.worker ? link(`workers/${path(task.worker)}`, task.worker) : "", task.queue ? h("div", { class: "soft" }, task.queue) : null), nowrap(time(task.timestamp)), number(seconds(task.runtime))),
      "No task fits. Workers have to send events: start them with -E, or let the dashboard enable events.");
  }
  return { load };
}
