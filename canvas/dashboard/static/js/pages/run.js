import { act, get } from "../api.js";
import { ask, cell, facts, h, link, nowrap, number, path, put, table, toast } from "../dom.js";
import { count, seconds, shortId, state, time } from "../format.js";
import { graph } from "../graph.js";
import { go } from "../main.js";
import { timeline } from "../timeline.js";

const ERRORS = 3;

export function page(place, { rest: id, session, refresh }) {
  const base = `workflows/${path(id)}`;
  const head = h("div"), buttons = h("div", { class: "row" }), summary = h("p", { class: "soft" });
  const errors = h("div", { class: "errors", role: "status", "aria-label": "Errors" });
  const detail = h("aside", { class: "panel detail", hidden: true, "aria-label": "Node" });
  const expanded = new Set();
  const drawn = graph(choose, async (key) => { expanded.add(key); await layOut(); colour(); });
  const times = timeline(choose);
  const nodes = table("Nodes", ["Node", "State", "Task", "Worker", "#Duration", "Error"]);
  const tabs = { Graph: drawn.element, Timeline: times.element, Nodes: nodes.element };
  const body = h("div");
  const list = h("div", { role: "tablist", "aria-label": "Views of the run" }, Object.keys(tabs).map((name) => h("button", { role: "tab", type: "button", id: `tab-${name}`, "aria-controls": "view", onclick: () => show(name), onkeydown: turn }, name)));
  const view = h("div", { role: "tabpanel", id: "view" }, body);
  const split = h("div", { class: "split alone" }, h("div", null, list, view), detail);
  place.append(h("div", { class: "head" }, h("div", null, head, summary), buttons), errors, split);
  let found = null;
  let name = null;
  let shown = "Graph";
  let laidOut = false;

  function turn(event) {
    const names = Object.keys(tabs), at = names.indexOf(shown) + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? 0);
    if (names[at] && names[at] !== shown) { show(names[at]); document.getElementById(`tab-${names[at]}`).focus(); }
  }
  function show(wanted) {
    shown = wanted;
    for (const tab of list.children) { const is = tab.textContent === wanted; tab.setAttribute("aria-selected", is); tab.tabIndex = is ? 0 : -1; }
    view.setAttribute("aria-labelledby", `tab-${wanted}`);
    body.replaceChildren(tabs[wanted]);
    colour();
    if (wanted === "Graph") drawn.fit();
  }
  async function layOut() { drawn.draw(await get(`${base}/picture`, { expand: [...expanded] })); laidOut = true; }

  function colour() {
    if (!found) return;
    drawn.colour(new Map(found.nodes.map((node) => [node.name, node])), found.run.critical_path);
    if (shown === "Timeline") times.draw(found.nodes, Date.now() / 1000);
    if (shown === "Nodes") nodes.show(found.nodes.slice(0, 1000), (node) => node.name, (node) => h("tr", null, cell(h("button", { class: "quiet", type: "button", onclick: () => choose(node.name) }, node.name)), nowrap(state(node.state)),
      cell(node.task ?? ""), cell(node.worker ? link(`workers/${path(node.worker)}`, node.worker) : ""), number(seconds(node.seconds)), cell(h("span", { class: "clip" }, why(node)))), "");
  }
  const why = (node) => node.error ?? (node.cause ? `not run: ${node.cause} failed` : node.missing ? `no worker has ${node.missing}` : node.signal ? `waits for signal ${node.signal}` : "");

  /** The nodes whose own task failed, each with its error: people look for these first. */
  function showErrors() {
    const causes = found.nodes.filter((node) => node.state === "FAILURE" && node.error && !node.cause);
    const sign = JSON.stringify(causes.map((node) => [node.name, node.error]));
    if (errors.sign === sign) return;
    errors.sign = sign;
    const lines = causes.slice(0, ERRORS).map((node) => h("p", null, h("button", { class: "quiet", type: "button", onclick: () => choose(node.name) }, node.name), h("span", { class: "clip" }, node.error)));
    if (causes.length > ERRORS) lines.push(h("p", { class: "soft" }, `and ${count(causes.length - ERRORS)} more, under Nodes`));
    errors.replaceChildren(...lines);
  }

  async function choose(wanted) { name = wanted; drawn.choose(wanted); colour(); await details(); }
  async function details() {
    detail.hidden = !name;
    split.classList.toggle("alone", !name);
    if (!name) return;
    const one = await get(`${base}/nodes/${path(name)}`);
    const again = found.run.can.again ? h("button", { type: "button", onclick: () => steer("again", `Run ${name} again?`, "The nodes that depend on it run again, too.", "Run again", { node: name }) }, "Run again from here") : null;
    const part = (title, text) => (text === null || text === undefined ? null : [h("h3", null, title), h("pre", { tabindex: 0 }, text)]);
    const sign = JSON.stringify([one, found.run.can]);
    if (detail.sign === sign) return;
    detail.sign = sign;
    put(detail, h("div", { class: "head" }, h("h2", null, name), h("button", { class: "quiet", type: "button", "aria-label": "Close the node", onclick: () => choose(null) }, "✕")),
      h("div", { class: "row" }, state(one.state), again),
      facts([["Task", one.task], ["Id", one.task ? link(`tasks/${path(one.task_id)}`, shortId(one.task_id)) : one.task_id], ["Worker", one.worker && link(`workers/${path(one.worker)}`, one.worker)], ["Queue", one.queue], ["Attempt", String(one.attempt + 1)], ["Retries", one.retries ? String(one.retries) : null],
        ["Started", time(one.started)], ["Ended", time(one.ended)], ["Duration", seconds(one.seconds)], ["Waits for", one.signal ?? one.missing], ["Until", time(one.until)], ["Inside", one.child && link(`workflows/${path(one.child)}`, "run")], ["After", one.inputs.join(", ")]]),
      part("Error", one.error), part("Traceback", one.traceback), part("Arguments", one.args === null ? one.composed : `${one.args} ${one.kwargs}`), one.state === "SUCCESS" ? part("Result", one.result) : null,
      one.items.length ? [h("h3", null, "Failed items"), one.items.map((item) => h("pre", null, `${item.item}: ${item.error}`))] : null);
  }

  async function steer(action, title, text, button, more = {}) {
    if (await ask(title, text, button, {}, action === "cancel") === null) return;
    const answer = await act(`${base}/${action}`, more);
    if (answer?.run) go(`workflows/${path(answer.run)}`);
    else await refresh();
  }

  async function signal() {
    const given = await ask("Send a signal?", "The nodes that wait for it go on with its value.", "Send", { name: { label: "Signal", value: found.run.signals[0] }, payload: { label: "Value, as JSON", value: "true" } }, false);
    if (given === null) return;
    let payload;
    try { payload = JSON.parse(given.payload); } catch (error) { toast(`The value is not JSON: ${error.message}`, true); return; }
    await act(`${base}/signal`, { name: given.name, payload });
    await refresh();
  }

  async function load() {
    found = await get(base);
    if (!laidOut) { await layOut(); show(shown); }
    const run = found.run;
    head.replaceChildren(h("h1", null, run.name), h("div", { class: "row" }, state(run.state), h("code", null, run.id)));
    const failed = run.counts.FAILURE ?? 0, running = run.counts.STARTED ?? 0;
    summary.textContent = [`${count(run.done)} of ${count(run.nodes)} nodes have ended`, running ? `${count(running)} run` : "", failed ? `${count(failed)} failed` : "", run.counts.UPSTREAM_FAILED ? `${count(run.counts.UPSTREAM_FAILED)} did not run` : "", seconds(run.seconds), run.attempt ? `attempt ${run.attempt + 1}` : "", Object.entries(run.labels).map(([key, value]) => `${key}=${value}`).join(" ")].filter(Boolean).join(" · ");
    showErrors();
    const can = run.can;
    const sign = JSON.stringify([can, run.signals]);
    if (buttons.sign !== sign) {
      buttons.sign = sign;
      buttons.replaceChildren(...[can.signal && run.signals.length && h("button", { class: "main", type: "button", onclick: signal }, "Send a signal"), can.cancel && h("button", { class: "danger", type: "button", onclick: () => steer("cancel", "Cancel this run?", "No further node starts, and running tasks are terminated.", "Cancel the run", { terminate: true }) }, "Cancel"),
        can.resume && h("button", { class: "main", type: "button", onclick: () => steer("resume", "Resume this run?", "Nodes that failed or never ran run now; results of the others are used.", "Resume the run") }, "Resume"),
        can.retry && h("button", { type: "button", onclick: () => steer("retry", "Run all of it again?", "A new run of the same workflow starts, with the same arguments.", "Start a new run") }, "Run again")].filter(Boolean));
    }
    colour();
    await details();
  }
  function failed(error) { if (!found) place.replaceChildren(h("h1", null, "Run"), h("p", { class: "empty" }, error.message)); }
  show(shown);
  return { load, failed, read: session };
}
