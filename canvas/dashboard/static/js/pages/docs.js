import { cell, h, nowrap, table } from "../dom.js";

export function page(place) {
  const rows = table("Operations", ["Method", "Path", "What it does", "Parameters"]);
  place.append(h("div", { class: "head" }, h("div", null, h("h1", null, "API"), h("p", { class: "soft" }, "Everything that the pages show, as JSON. The description in OpenAPI's form: ", h("a", { href: "api/openapi.json" }, "api/openapi.json"), "."))), rows.element);
  async function load() {
    const found = await (await fetch(new URL("api/openapi.json", document.baseURI))).json();
    const operations = Object.entries(found.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, about]) => ({ path, method, about })));
    rows.show(operations, (one) => one.method + one.path, (one) => h("tr", null, nowrap(h("code", null, one.method.toUpperCase())), cell(h("code", null, one.path)), cell(one.about.summary),
      cell([...one.about.parameters.filter((p) => p.in === "query").map((p) => p.name), ...Object.keys(one.about.requestBody?.content["application/json"].schema.properties ?? {})].join(", "))), "");
  }
  return { load, every: 0 };
}
