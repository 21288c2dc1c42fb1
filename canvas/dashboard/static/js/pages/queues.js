import { get } from "../api.js";
import { cell, h, link, number, path, table } from "../dom.js";
import { count, rate, waited } from "../format.js";

export function page(place) {
  const flight = h("p", { class: "soft" });
  const rows = table("Queues", ["Queue", "#Waiting", "#Oldest", "#In a second", "#Out a second", "#Dead letters", "Consumers"]);
  place.append(h("div", { class: "head" }, h("div", null, h("h1", null, "Queues"), flight)), rows.element);
  async function load() {
    const found = await get("queues");
    flight.textContent = `All queues: ${Object.entries(found.in_flight).map(([name, many]) => `${count(many)} ${name}`).join(", ")}; ${found.received.toFixed(1)} tasks received a second`;
    rows.show(found.queues, (one) => one.name, (one) => h("tr", null, cell(link(`queues/${path(one.name)}`, one.name)), number(count(one.waiting)), number(waited(one)), number(one.incoming === null ? "–" : rate(one.incoming)), number(one.outgoing === null ? "–" : rate(one.outgoing)), number(count(one.dead)), cell(one.consumers.length ? one.consumers.join(", ") : h("span", { class: one.waiting ? "state s-bad" : "soft" }, "none"))), "No queue is known yet.");
  }
  return { load };
}
