import { act, get } from "../api.js";
import { ask, cell, h, nowrap, number, path, table } from "../dom.js";
import { count, schedule as words, time } from "../format.js";

export function page(place, { session, refresh }) {
  const note = h("p", { class: "soft" });
  const rows = table("Schedules", ["Entry", "Task", "Schedule", "Last run", "Next run", "#Runs", "Actions"]);
  place.append(h("div", { class: "head" }, h("div", null, h("h1", null, "Schedules"), note)), rows.element);
  async function steer(action, name) {
    if (action === "run" && await ask(`Run ${name} now?`, "Its task is sent once, whatever its schedule says.", "Run now", {}, false) === null) return;
    await act(`schedules/${path(name)}/${action}`);
    await refresh();
  }
  async function load() {
    const found = await get("schedules");
    note.textContent = found.unavailable ?? "";
    rows.show(found.entries, (one) => one.name, (one) => h("tr", null, cell(one.name), cell(one.task), cell(words(one.schedule)), nowrap(time(one.last_run)), nowrap(one.paused ? h("span", { class: "state s-warn" }, "paused") : one.due === null ? h("span", { class: "soft" }, "not seen by canvas beat yet") : time(one.due)), number(count(one.count)),
      nowrap(session?.read_only ? "" : [h("button", { type: "button", "aria-label": `${one.paused ? "Resume" : "Pause"} ${one.name}`, onclick: () => steer(one.paused ? "resume" : "pause", one.name) }, one.paused ? "Resume" : "Pause"), " ", h("button", { type: "button", "aria-label": `Run ${one.name} now`, onclick: () => steer("run", one.name) }, "Run now")])), "There are no entries of periodic tasks.");
  }
  return { load };
}
