import { h, link, unescaped } from "../dom.js";

export function page(place) {
  place.append(h("div", { class: "head" }, h("h1", null, "Page not found")),
    h("p", null, "There is no page at ", h("code", null, unescaped(location.pathname)), "."), h("p", null, link("./", "Go to the overview")));
  return {};
}
