import { act, get } from "../api.js";
import { ask, cell, clipped, h, link, nowrap, path, table } from "../dom.js";
import { many, shortId, time, waited } from "../format.js";

export function page(place, { rest: name, session, refresh }) {
  const free = !session?.read_only;
  const total = h("p", { class: "soft" }), state = h("p", { class: "soft" }), chosen = new Set();
  const rows = table("Dead letters", ["Choose", "Task", "Reason", "Arguments", "When"]);
  const first = table("Next messages", ["Task", "Arguments"]), next = h("section", { hidden: true }, h("h2", null, "Next message"), first.element);
  const some = h("div", { class: "row" }), all = h("div", { class: "row" });
  const every = h("input", { type: "checkbox", "aria-label": "Choose all", onchange: () => { for (const box of boxes()) box.checked = every.checked; boxes().forEach(choose); } });
  rows.element.querySelector("th").prepend(free ? every : "", " ");
  place.append(h("div", { class: "head" }, h("div", null, h("h1", null, name), state, total), all), next, h("h2", null, "Dead letters"), some, h("p"), rows.element);

  const boxes = () => rows.body.querySelectorAll("input[type=checkbox]");
  let known = 0;
  function choose(box) {
    if (box.checked) chosen.add(box.value);
    else chosen.delete(box.value);
    buttons(known);
  }

  async function steer(action, keys, many) {
    const words = action === "purge" ? ["Delete all waiting messages?", `All messages that wait in ${name} are lost.`, "Delete messages"] : action === "delete" ? [`Delete ${many}?`, "They cannot be brought back.", "Delete"] : [`Put ${many} back into ${name}?`, "Each runs once more.", "Requeue"];
    if (await ask(...words, {}, action !== "requeue") === null) return;
    await act(`queues/${path(name)}/${action}`, action === "purge" ? {} : { keys });
    chosen.clear();
    every.checked = false;
    for (const box of boxes()) box.checked = false;
    await refresh();
  }
  function buttons(letters) {
    every.checked = letters > 0 && [...boxes()].every((box) => box.checked);
    const sign = `${chosen.size}/${letters}`;
    if (some.sign === sign) return;
    some.sign = sign;
    some.replaceChildren(...(free && letters ? [h("button", { type: "button", disabled: !chosen.size, onclick: () => steer("requeue", [...chosen], many(chosen.size, "dead letter")) }, "Requeue chosen"), h("button", { type: "button", class: "danger", disabled: !chosen.size, onclick: () => steer("delete", [...chosen], many(chosen.size, "dead letter")) }, "Delete chosen"),
      h("button", { type: "button", disabled: !letters, onclick: () => steer("requeue", "all", "all dead letters") }, "Requeue all"), h("button", { type: "button", class: "danger", disabled: !letters, onclick: () => steer("delete", "all", "all dead letters") }, "Delete all")] : []));
  }
  async function load() {
    const found = await get(`queues/${path(name)}/dead-letters`, { limit: 500 });
    known = found.total;
    rows.element.querySelector("thead").hidden = !known;
    const left = new Set(found.letters.map((one) => one.key));
    for (const key of chosen) if (!left.has(key)) chosen.delete(key);
    const queue = (await get("queues")).queues.find((one) => one.name === name);
    state.replaceChildren(queue ? `${many(queue.waiting, "message")} waiting${queue.oldest === null ? "" : `, the next one for ${waited(queue)}`} · ${queue.consumers.length ? `consumed by ${queue.consumers.join(", ")}` : "no worker consumes it"}` : "", " · ", link(`tasks?queue=${path(name)}`, "its tasks"));
    const messages = queue?.waiting ? (await get(`queues/${path(name)}/next`)).messages : [];
    next.hidden = !messages.length;
    first.show(messages, (one) => one.id, (one) => h("tr", null, cell(one.task ? link(`tasks/${path(one.id ?? "")}`, one.task) : "?", h("div", { class: "soft mono" }, shortId(one.id ?? ""))), clipped(one.unreadable ?? `${one.args} ${one.kwargs}`)), "");
    total.textContent = many(found.total, "dead letter") + (found.letters.length < found.total ? `, of which the latest ${found.letters.length} are listed` : "");
    if (free && !all.children.length) all.append(h("button", { type: "button", class: "danger", onclick: () => steer("purge") }, "Delete waiting messages"));
    rows.show(found.letters, (one) => one.key, (one) => h("tr", null, h("td", { class: "choose" }, free && h("input", { type: "checkbox", value: one.key, checked: chosen.has(one.key), "aria-label": `Choose ${one.task ?? "message"} ${one.id ?? ""}`, onchange: (event) => choose(event.target) })),
      cell(one.task ?? "?", h("div", { class: "soft mono" }, shortId(one.id ?? ""))), cell(one.reason), clipped(one.unreadable ?? `${one.args} ${one.kwargs}`), nowrap(time(one.time))), "There are no dead letters.");
    buttons(found.total);
  }
  return { load };
}
