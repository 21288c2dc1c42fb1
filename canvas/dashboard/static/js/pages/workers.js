import { get } from "../api.js";
import { cell, h, link, nowrap, number, path, table } from "../dom.js";
import { count, memory, seconds } from "../format.js";

const LATE = 30;

/** For how long a worker has sent no heartbeat, or has answered no question. */
function silence(one) {
  const now = Date.now() / 1000;
  if (!one.alive) return one.heartbeat ? `for ${seconds(now - one.heartbeat)}` : "";
  if (!one.answered) return "has not answered yet";
  return now - one.answered > LATE ? `no answer for ${seconds(now - one.answered)}` : "";
}

export function page(place) {
  const rows = table("Workers", ["Worker", "Status", "Pool", "#Running", "#Processed", "#Memory", "#Uptime", "Queues"]);
  place.append(h("div", { class: "head" }, h("h1", null, "Workers")), rows.element);
  async function load() {
    const found = (await get("workers")).workers.map(({ heartbeat, answered, ...one }) => ({ ...one, silence: silence({ ...one, heartbeat, answered }) }));
    rows.show(found, (one) => one.name, (one) => h("tr", null, cell(link(`workers/${path(one.name)}`, one.name), h("div", { class: "soft" }, `${one.library} ${one.version ?? ""}`)), nowrap(h("span", { class: `state ${one.alive ? "s-good" : "s-bad"}` }, one.alive ? "online" : "offline"), h("div", { class: "soft" }, one.silence)),
      nowrap(one.pool ? `${one.pool} × ${one.concurrency}` : ""), number(count(one.active)), number(count(one.processed)), number(memory(one.memory)), number(one.uptime ? seconds(one.uptime) : ""), cell(one.queues.join(", "))), "No worker is known yet.");
  }
  return { load };
}
