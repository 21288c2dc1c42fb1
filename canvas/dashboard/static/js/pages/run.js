import { act, get } from "../api.js";
import { ask, cell, facts, h, link, nowrap, number, path, put, table, toast } from "../dom.js";
import { count, seconds, shortId, state, time } from "../format.js";
import { graph, rankOf } from "../graph.js";
import { go } from "../main.js";
import { timeline } from "../timeline.js";

const ERRORS = 3, MEMBERS = 200, ROWS = 500;

export function page(place, { rest: id, session, refresh }) {
  const base = `workflows/${path(id)}`;
  const head = h("div"), buttons = h("div", { class: "row" }), summary = h("p", { class: "soft" });
  const errors = h("div", { class: "errors", role: "status", "aria-label": "Errors" });
  const detail = h("aside", { class: "panel detail", hidden: true, "aria-label": "Node" });
  const expanded = new Set();
  const drawn = graph(choose, (box) => { together = box; return choose(null); }, async () => { expanded.clear(); await layOut(); colour(); });
  const times = timeline(choose);
  const nodes = table("Nodes", ["Node", "State", "Task", "Worker", "#Duration", "Error"]);
  const wanted = h("input", { type: "search", placeholder: "name, task or error", "aria-label": "Search nodes", oninput: () => colour() }), more = h("p", { class: "soft" });
  const tabs = { Graph: drawn.element, Timeline: times.element, Nodes: h("div", null, h("div", { class: "row filters" }, wanted, more), nodes.element) };
  const body = h("div");
  const list = h("div", { role: "tablist", "aria-label": "Views of the run" }, Object.keys(tabs).map((name) => h("button", { role: "tab", type: "button", id: `tab-${name}`, "aria-controls": "view", onclick: () => show(name), onkeydown: turn }, name)));
  const view = h("div", { role: "tabpanel", id: "view" }, body);
  const split = h("div", { class: "split alone" }, h("div", null, list, view), detail);
  const stopped = h("p", { class: "banner", hidden: true });
  place.append(h("div", { class: "head" }, h("div", null, head, summary), buttons), stopped, errors, split);
  let found = null;
  let name = null;
  let shown = "Graph";
  let laidOut = false;
  let together = null;

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
  async function layOut() { drawn.draw(await get(`${base}/picture`, { expand: [...expanded] }), expanded.size > 0); laidOut = true; }

  function colour() {
    if (!found) return;
    drawn.colour(new Map(found.nodes.map((node) => [node.name, node])), found.run.critical_path);
    if (shown === "Timeline") times.draw(found.nodes, Date.now() / 1000);
    if (shown === "Nodes") nodes.show(listed(), (node) => node.name, (node) => h("tr", null, cell(h("button", { class: "quiet", type: "button", onclick: () => choose(node.name) }, node.name)), nowrap(state(node.state)),
      cell(node.task ?? ""), cell(node.worker ? link(`workers/${path(node.worker)}`, node.worker) : ""), number(seconds(node.seconds)), cell(h("span", { class: "clip" }, why(node)))), "No node fits.");
  }
  /** The nodes that fit the search, those that ask for attention first. */
  function listed() {
    const text = wanted.value.toLowerCase();
    const some = found.nodes.filter((node) => !text || [node.name, node.task, node.error, node.state].some((one) => one?.toLowerCase().includes(text))).sort((a, b) => rankOf(a.state) - rankOf(b.state));
    more.textContent = some.length > ROWS ? `the first ${count(ROWS)} of ${count(some.length)}` : "";
    return some.slice(0, ROWS);
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

  async function choose(wanted) { name = wanted; if (name) together = null; drawn.choose(wanted); colour(); await details(); }
  function close() { together = null; return choose(null); }
  async function details() {
    detail.hidden = !name && !together;
    split.classList.toggle("alone", detail.hidden);
    if (together) members();
    if (!name) return;
    const one = await get(`${base}/nodes/${path(name)}`);
    const again = found.run.can.again ? h("button", { type: "button", onclick: () => steer("again", `Run ${name} again?`, "The nodes that depend on it run again, too.", "Run again", { node: name }) }, "Run again from here") : null;
    const part = (title, text) => (text === null || text === undefined ? null : [h("h3", null, title), h("pre", { tabindex: 0 }, text)]);
    const sign = JSON.stringify([one, found.run.can]);
    if (detail.sign === sign) return;
    detail.sign = sign;
    put(detail, h("div", { class: "head" }, h("h2", null, name), h("button", { class: "quiet", type: "button", "aria-label": "Close the node", onclick: close }, "✕")),
      h("div", { class: "row" }, state(one.state), again),
      facts([["Task", one.task], ["Id", one.task ? link(`tasks/${path(one.task_id)}`, shortId(one.task_id)) : one.task_id], ["Worker", one.worker && link(`workers/${path(one.worker)}`, one.worker)], ["Queue", one.queue], ["Attempt", String(one.attempt + 1)], ["Retries", one.retries ? String(one.retries) : null],
        ["Started", time(one.started)], ["Ended", time(one.ended)], ["Duration", seconds(one.seconds)], ["Waits for", one.signal ?? one.missing], ["Until", time(one.until)], ["Inside", one.child && link(`workflows/${path(one.child)}`, "run")], ["After", one.inputs.join(", ")]]),
      part("Error", one.error), part("Traceback", one.traceback), part("Arguments", one.args === null ? one.composed : `${one.args} ${one.kwargs}`), one.state === "SUCCESS" ? part("Result", one.result) : null,
      one.items.length ? [h("h3", null, "Failed items"), one.items.map((item) => [h("p", null, link(`tasks/${path(item.task_id)}`, `Item ${item.item}`)), h("pre", { tabindex: 0 }, item.error)])] : null);
  }

  /** The nodes that share a box, those that ask for attention first. */
  function members() {
    const names = new Set(together.nodes), some = found.nodes.filter((node) => names.has(node.name)).sort((a, b) => rankOf(a.state) - rankOf(b.state));
    const sign = JSON.stringify(some.slice(0, MEMBERS).map((node) => [node.name, node.state]));
    if (detail.sign === sign) return;
    detail.sign = sign;
    const box = together, apart = async () => { expanded.add(box.key); together = null; await details(); await layOut(); colour(); };
    put(detail, h("div", { class: "head" }, h("h2", null, box.label), h("button", { class: "quiet", type: "button", "aria-label": "Close the list", onclick: close }, "✕")),
      some.length > MEMBERS ? h("p", { class: "soft" }, `${count(MEMBERS)} of ${count(some.length)} nodes; search for others under Nodes.`) : h("button", { type: "button", onclick: apart }, "Show each as a box"),
      h("ul", { class: "members" }, some.slice(0, MEMBERS).map((node) => h("li", null, h("button", { class: "quiet", type: "button", onclick: () => choose(node.name) }, node.name), state(node.state)))));
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
    stopped.hidden = !run.stopped_by.length;
    if (!stopped.hidden) stopped.replaceChildren(...run.stopped_by.flatMap((name, at) => [at ? ", " : "", link(`workers/${path(name)}`, name)]), ` ${run.stopped_by.length > 1 ? "are workers" : "is a worker"} of Celery and ran tasks of this run. The nodes after these tasks do not start. Let only workers of canvas consume their queue, then resume the run.`);
    const can = { ...run.can, force: run.can.force && !stopped.hidden };
    const sign = JSON.stringify([can, run.signals]);
    if (buttons.sign !== sign) {
      buttons.sign = sign;
      buttons.replaceChildren(...[can.signal && run.signals.length && h("button", { class: "main", type: "button", onclick: signal }, "Send a signal"), can.cancel && h("button", { class: "danger", type: "button", onclick: () => steer("cancel", "Cancel this run?", "No further node starts, and running tasks are terminated.", "Cancel the run", { terminate: true }) }, "Cancel"),
        can.force && h("button", { class: "main", type: "button", onclick: () => steer("resume", "Resume a run that has not ended?", "Nodes whose ends are lost run again. Tasks of it that still run have no further effect.", "Resume the run", { force: true }) }, "Resume"),
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
