import { get } from "../api.js";
import { cell, h, link, nowrap, number, path, table } from "../dom.js";
import { count, seconds } from "../format.js";

export function page(place) {
  const rows = table("Workers", ["Worker", "Status", "Pool", "#Running", "#Processed", "#Memory", "#Uptime", "Queues"]);
  place.append(h("div", { class: "head" }, h("h1", null, "Workers")), rows.element);
  async function load() {
    const found = (await get("workers")).workers.map(({ heartbeat, ...one }) => one);
    rows.show(found, (one) => one.name, (one) => h("tr", null, cell(link(`workers/${path(one.name)}`, one.name), h("div", { class: "soft" }, `${one.library} ${one.version ?? ""}`)), nowrap(h("span", { class: `state ${one.alive ? "s-good" : "s-bad"}` }, one.alive ? "online" : "offline")),
      nowrap(one.pool ? `${one.pool} × ${one.concurrency}` : ""), number(count(one.active)), number(count(one.processed)), number(one.memory ? `${Math.round(one.memory / 1024)} MiB` : ""), number(one.uptime ? seconds(one.uptime) : ""), cell(one.queues.join(", "))), "No worker is known yet.");
  }
  return { load };
}
