// Fields that narrow a list; their values are in the address, so that a list can be sent to somebody.
import { h } from "./dom.js";

export function filters(fields, query, changed) {
  const inputs = {};
  let timer = 0;
  const values = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value]));
  function change() {
    const found = new URLSearchParams(Object.entries(values()).filter(([, value]) => value));
    history.replaceState(null, "", `${location.pathname}${found.size ? `?${found}` : ""}`);
    changed();
  }
  const element = h("form", { class: "filters", role: "search", onsubmit: (event) => { event.preventDefault(); change(); } }, Object.entries(fields).map(([name, field]) => {
    inputs[name] = field.options
      ? h("select", { name, onchange: change }, h("option", { value: "" }, "any"), field.options.map((value) => h("option", { value, selected: query.get(name) === value }, value)))
      : h("input", { name, type: field.type ?? "search", value: query.get(name) ?? "", placeholder: field.hint, oninput: () => { clearTimeout(timer); timer = setTimeout(change, 300); } });
    return h("label", null, field.label, inputs[name]);
  }));
  return { element, values };
}

/** Relative times such as 15m as unix seconds. */
export function moment(text) {
  const found = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text.trim());
  return found ? Date.now() / 1000 - Number(found[1]) * { s: 1, m: 60, h: 3600, d: 86400 }[found[2]] : text.trim();
}
