import { get } from "../api.js";
import { cell, h, link, nowrap, number, path, table } from "../dom.js";
import { filters, moment } from "../filters.js";
import { count, seconds, shortId, state, time } from "../format.js";

export function page(place, { query, refresh }) {
  const search = filters({ text: { label: "Search", hint: "name, id or label" }, name: { label: "Name", hint: "exact name" },
    state: { label: "State", options: ["PENDING", "STARTED", "CANCELLING", "FAILURE", "CANCELLED", "SUCCESS"] }, since: { label: "Since", hint: "15m, 2h, 7d" } }, query, refresh);
  const runs = table("Runs of workflows", ["Workflow", "State", "Progress", "Started", "#Duration", "Labels"]);
  const more = table("Chains, groups and chords", ["First task", "State", "Tasks", "Last event", "Kind"]);
  const others = h("section", { hidden: true }, h("h2", null, "Chains, groups and chords"), more.element);
  place.append(h("div", { class: "head" }, h("h1", null, "Workflows")), search.element, runs.element, others);

  const row = (run) => h("tr", null, cell(link(`workflows/${path(run.id)}`, run.name), h("div", { class: "soft mono" }, shortId(run.id))), nowrap(state(run.state)),
    nowrap(h("progress", { max: Math.max(run.nodes, 1), value: run.done, "aria-label": `${run.done} of ${run.nodes} nodes have ended` }), ` ${count(run.done)}/${count(run.nodes)}`, run.counts.FAILURE ? h("span", { class: "soft" }, `, ${count(run.counts.FAILURE)} failed`) : null),
    nowrap(time(run.created)), number(seconds(run.seconds)), cell(h("span", { class: "soft" }, Object.entries(run.labels).map(([name, value]) => `${name}=${value}`).join(" "))));

  async function load() {
    const values = search.values();
    const asked = { ...values, since: values.since ? moment(values.since) : "" };
    const found = await get("workflows", asked);
    runs.show(found.runs, (run) => run.id, row, found.kept ? "No run fits." : "The result backend keeps no runs of workflows.");
    const composites = (await get("composites", { text: asked.text || asked.name, state: asked.state })).composites;
    others.hidden = !composites.length;
    more.show(composites, (one) => one.id, (one) => h("tr", null, cell(link(`tasks/${path(one.id)}`, one.name ?? "?"), h("div", { class: "soft mono" }, shortId(one.id))), nowrap(state(one.state)),
      nowrap(h("progress", { max: one.tasks, value: one.done, "aria-label": `${one.done} of ${one.tasks} tasks have ended` }), ` ${count(one.done)}/${count(one.tasks)}`), nowrap(time(one.timestamp)), cell(one.kind)), "");
  }
  return { load };
}
