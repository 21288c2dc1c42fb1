import { act, get } from "../api.js";
import { ask, cell, clipped, facts, h, link, nowrap, number, path, put, table } from "../dom.js";
import { seconds, shortId, state, time } from "../format.js";
import { go } from "../main.js";

export function page(place, { rest: id, refresh }) {
  const head = h("div", { class: "head" }), about = h("div", { class: "panel" }), texts = h("div");
  /** The id of a node's task begins with that of its run. */
  const inRun = (one) => Boolean(one.root_id) && id.startsWith(`${one.root_id}.`);
  const tree = table("Tasks of the same root", ["Task", "State", "Arguments", "Worker", "#Runtime"]);
  const around = h("section", { hidden: true }, h("h2", null, "Parents and children"), tree.element);
  place.append(head, about, texts, around);
  let last = "";

  async function steer(action, title, text, button) {
    if (await ask(title, text, button, {}, action === "terminate" || action === "revoke") === null) return;
    const answer = await act(`tasks/${path(id)}/${action}`);
    if (answer?.task && answer.task !== id) go(`tasks/${path(answer.task)}`);
    else await refresh();
  }
  async function load() {
    const one = await get(`tasks/${path(id)}`);
    const sign = JSON.stringify(one);
    if (sign === last) return;
    last = sign;
    const record = one.record ?? {}, can = one.can;
    /** A task that succeeded after a retry keeps the exception of the event of that retry. */
    const done = (one.state ?? record.status) === "SUCCESS";
    const button = (action, title, text, label, kind) => can[action] && h("button", { class: kind, type: "button", onclick: () => steer(action, title, text, label) }, label);
    put(head, h("div", null, h("h1", null, one.name ?? record.name ?? "Task"), h("div", { class: "row" }, state(one.state ?? record.status ?? "PENDING"), h("code", null, id))),
      h("div", { class: "row" }, [button("revoke", "Revoke this task?", one.state === "STARTED" ? "It runs already and goes on: Terminate ends it. It will not be retried." : "A worker that takes its message does not run it.", "Revoke", "danger"), button("terminate", "Terminate this task?", "The process that runs it gets SIGTERM.", "Terminate", "danger"),
        button("retry", "Retry this task?", "It runs again under its id.", "Retry", "main"), button("send-again", "Send this task again?", "Its call is sent under a new id.", "Send again", "")].filter(Boolean)));
    const worker = one.worker ?? record.worker;
    about.replaceChildren(facts([["Worker", worker && link(`workers/${path(worker)}`, worker)], ["Queue", one.queue ?? record.queue], ["Sent", time(one.sent)], ["Received", time(one.received)], ["Started", time(one.started)], ["Last event", time(one.timestamp)], ["Runtime", seconds(one.runtime)],
      ["Retries", one.retries ? String(one.retries) : null], ["Due", one.eta && time(Date.parse(one.eta) / 1000)], ["Expires", one.expires && time(Date.parse(one.expires) / 1000)], ["Group", record.group_id], ["Workflow", inRun(one) ? link(`workflows/${path(one.root_id)}`, shortId(one.root_id)) : null], ["Root", one.root_id && one.root_id !== id && !inRun(one) ? link(`tasks/${path(one.root_id)}`, shortId(one.root_id)) : null], ["Parent", one.parent_id && one.parent_id !== id ? link(`tasks/${path(one.parent_id)}`, shortId(one.parent_id)) : null], ["Sent by", one.client]]));
    const part = (title, text) => (text === null || text === undefined || text === "" ? [] : [h("h2", null, title), h("pre", { tabindex: 0 }, text)]);
    put(texts, ...part("Arguments", one.args && `${one.args} ${one.kwargs ?? ""}`), ...part("Result", done ? record.result ?? one.result : one.exception ?? record.result ?? one.result), ...part("Traceback", done ? null : one.traceback ?? record.traceback));
    around.hidden = one.tree.length < 2;
    tree.show(one.tree, (row) => row.id, (row) => h("tr", null, h("td", { class: `indent-${Math.min(row.depth, 4)}` }, row.id === id ? h("strong", null, row.name ?? "?") : link(`tasks/${path(row.id)}`, row.name ?? "?")), nowrap(state(row.state)), clipped(row.args), cell(row.worker ?? ""), number(seconds(row.runtime))), "");
  }
  function failed(error) { if (!last) head.replaceChildren(h("div", null, h("h1", null, "Task"), h("p", { class: "soft" }, error.message))); }
  return { load, failed };
}
