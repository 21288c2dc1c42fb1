// Elements whose contents are always text: nothing that comes from a task is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, properties, ...children) => filled(document.createElement(tag), properties, children);
export const s = (tag, properties, ...children) => filled(document.createElementNS(SVG, tag), properties, children);

/** A link to a page of the dashboard. */
export const link = (path, ...text) => h("a", { href: path }, ...text);

/** Replaces what an element has; children may be nested lists, and those that are null are left out. */
export const put = (element, ...children) => { element.replaceChildren(); return filled(element, null, children); };

/** The path of a page: each part is escaped. */
export const path = (...parts) => parts.map(encodeURIComponent).join("/");

/** The text of an escaped part of a path; a part that is not escaped as it should be stays as it is. */
export function unescaped(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

/** Puts rows into a parent; rows whose key and data have not changed stay, and keep the focus. */
export function fill(parent, items, key, make) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const next = items.map((item) => {
    const name = String(key(item));
    const sign = JSON.stringify(item);
    const old = known.get(name);
    if (old && old.sign === sign) return old;
    const made = make(item);
    made.dataset.key = name;
    made.sign = sign;
    if (old?.contains(document.activeElement)) {
      const places = [...old.querySelectorAll("a,button,input")];
      const at = places.indexOf(document.activeElement);
      queueMicrotask(() => made.querySelectorAll("a,button,input")[at]?.focus());
    }
    return made;
  });
  if (next.length !== parent.children.length || next.some((child, at) => parent.children[at] !== child)) parent.replaceChildren(...next);
}

export function toast(text, bad = false) {
  const note = h("div", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), bad ? 9000 : 4500);
}

/** Asks in a dialog; gives the values of its fields, or null when it is left. Fields: {name: {label, value, type}}. */
export function ask(title, text, button, fields = {}, danger = true) {
  return new Promise((resolve) => {
    const inputs = Object.entries(fields).map(([name, field]) =>
      h("label", null, field.label, h("input", { name, type: field.type ?? "text", value: field.value ?? "", required: field.required ?? true, step: "any" })));
    const form = h("form", { method: "dialog" }, h("h2", { id: "asked" }, title), h("p", { class: "soft" }, text), inputs,
      h("div", { class: "row" }, h("button", { type: "button", onclick: () => dialog.close() }, "Back"),
        h("button", { class: danger ? "danger" : "main", value: "yes" }, button)));
    const dialog = h("dialog", { "aria-labelledby": "asked" }, form);
    let found = null;
    form.addEventListener("submit", () => { found = Object.fromEntries(new FormData(form)); });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(found); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function table(caption, heads) {
  const body = h("tbody");
  const head = h("tr", null, heads.map((name) => h("th", { scope: "col", class: name.startsWith("#") ? "number" : null }, name.replace("#", ""))));
  const empty = h("p", { class: "empty", hidden: true });
  return { body, empty, element: h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, h("table", null, h("thead", null, head), body), empty),
    show(items, key, make, nothing) { fill(body, items, key, make); empty.hidden = items.length > 0; empty.textContent = nothing; } };
}

export const cell = (...children) => h("td", null, ...children);
export const number = (text) => h("td", { class: "number" }, text);
export const nowrap = (...children) => h("td", { class: "nowrap" }, ...children);
export const clipped = (text) => h("td", null, h("span", { class: "clip mono", title: text ?? "" }, text ?? ""));
export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
export const tile = (name, page) => { const value = h("span"); const sub = h("span", { class: "sub" }); const element = h("div", { class: "tile" }, h("dt", null, link(page, name)), h("dd", null, value, sub));
  return { element, show(text, more = "", bad = false) { value.textContent = text; sub.textContent = more; element.classList.toggle("bad", bad); } }; };
