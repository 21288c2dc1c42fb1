// A run's graph: boxes and lines at the places that the server has computed, coloured by state, to zoom and to drag.
import { h, s } from "./dom.js";
import { count, kindOf, wordOf } from "./format.js";

const RANK = ["FAILURE", "REVOKED", "STARTED", "RETRY", "AWAITING_TASK", "AWAITING_SIGNAL", "SLEEPING", "PENDING", "UPSTREAM_FAILED", "WAITING", "SKIPPED", "SUCCESS"];

/** States of nodes that a picture which does not fit begins with. */
const URGENT = new Set(["FAILURE", "REVOKED", "STARTED", "RETRY", "AWAITING_TASK", "AWAITING_SIGNAL"]);

const KINDS_SHOWN = [["s-good", "succeeded"], ["s-busy", "runs or waits for a signal"], ["s-bad", "failed"], ["s-warn", "not run, or retrying"], ["s-violet", "cancelled"], ["", "not started"]];

/** How urgent a state is, the most urgent ones first. */
export const rankOf = (state) => (RANK.includes(state) ? RANK.indexOf(state) : RANK.length);

/** The state that a box of several nodes shows: the one that asks for most attention. */
const worst = (states) => RANK.find((state) => states.includes(state)) ?? states[0] ?? "";

/** The least scale at which the labels of boxes are read without effort. */
const READABLE = 0.9;

/** `chosen` gets the name of a node, and `opened` the box of several nodes, that is clicked; `collapse` is called by a button. */
export function graph(chosen, opened, collapse) {
  const group = s("g");
  const svg = s("svg", { role: "group", "aria-label": "Graph of the run. Use the arrow keys to go from node to node." }, s("defs", null, s("marker", { id: "arrow", markerWidth: 8, markerHeight: 8, refX: 7, refY: 4, orient: "auto" }, s("path", { d: "M0,0 L8,4 L0,8 z", class: "arrow" }))), group);
  const legend = h("p", { class: "legend" }, KINDS_SHOWN.map(([kind, word]) => h("span", { class: `state ${kind}` }, word)), h("span", { class: "state path" }, "critical path"), h("span", { class: "soft" }, "dashed line: order only"));
  const together = h("button", { type: "button", hidden: true, onclick: () => collapse() }, "Collapse");
  const plane = h("div", { class: "plane" }, svg, h("div", { class: "tools" }, h("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(1.3) }, "+"), h("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.3) }, "−"), h("button", { type: "button", onclick: () => { whole = true; moved = false; fit(); } }, "Fit"), h("button", { type: "button", onclick: () => { whole = false; moved = false; fit(); } }, "Readable"), together));
  const element = h("div", { class: "panel graph" }, plane, legend);
  let boxes = [];
  let size = { width: 1, height: 1 };
  let view = { x: 0, y: 0, scale: 1 };
  let selected = null;
  let moved = false;
  let whole = false;
  let coloured = false;

  const place = () => group.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  function zoom(factor, x = plane.clientWidth / 2, y = plane.clientHeight / 2) {
    moved = true;
    const scale = Math.min(4, Math.max(0.02, view.scale * factor));
    view = { x: x - (x - view.x) * scale / view.scale, y: y - (y - view.y) * scale / view.scale, scale };
    place();
  }
  /** Where a picture of that size begins: centred where it fits, else so that its point `at` is in the middle. */
  const start = (room, extent, at) => (extent <= room ? (room - extent) / 2 : Math.min(0, Math.max(room - extent, room / 2 - at)));
  /** Shows the whole picture, or, where its labels would become too small, the part around the box that asks for most attention. */
  function fit() {
    const [width, height] = [plane.clientWidth || 800, plane.clientHeight || 460];
    const all = Math.min(1.15, width / size.width, height / size.height);
    const scale = whole ? all : Math.max(all, READABLE);
    const box = boxes.reduce((best, one) => ((one.rank ?? RANK.length) < (best?.rank ?? RANK.length) ? one : best), boxes[0]);
    view = { scale, x: start(width, size.width * scale, ((box?.x ?? 0) + (box?.width ?? 0) / 2) * scale), y: start(height, size.height * scale, ((box?.y ?? 0) + (box?.height ?? 0) / 2) * scale) };
    place();
  }
  svg.addEventListener("wheel", (event) => { event.preventDefault(); const at = svg.getBoundingClientRect(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX - at.left, event.clientY - at.top); }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    const start = { x: event.clientX - view.x, y: event.clientY - view.y };
    const move = (at) => { moved = true; view = { ...view, x: at.clientX - start.x, y: at.clientY - start.y }; place(); };
    const end = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  });

  new ResizeObserver(() => { if (!moved) fit(); }).observe(plane);

  function open(box) {
    if (box.key && box.nodes.length > 1) opened(box);
    else if (box.nodes.length) chosen(box.nodes[0]);
  }
  function keys(event, at) {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(boxes[at]); return; }
    const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const from = boxes[at];
    let best = null;
    for (const box of boxes) {
      const x = box.x - from.x, y = box.y - from.y;
      const ahead = x * dx + y * dy;
      if (box === from || ahead <= 1) continue;
      const cost = ahead + 3 * Math.abs(dx ? y : x);
      if (!best || cost < best.cost) best = { box, cost };
    }
    if (!best) return;
    boxes.forEach((box) => box.element.setAttribute("tabindex", box === best.box ? 0 : -1));
    best.box.element.focus();
  }

  function draw(picture, expanded) {
    size = picture;
    together.hidden = !expanded;
    const lines = picture.lines.map((line) => [s("path", { d: line.path, class: line.order ? "edge order" : "edge", "marker-end": line.arrow ? "url(#arrow)" : null }),
      line.arm === null ? null : s("text", { class: "arm", x: line.end[0] - 10, y: line.end[1] - 5 }, line.arm)]);
    boxes = picture.boxes.map((box, at) => {
      const round = ["choose", "merge", "join"].includes(box.kind) ? box.height / 2 : 6;
      const label = s("text", { x: box.width / 2, y: box.height / 2 + 4 }, box.label.length > 48 ? `${box.label.slice(0, 47)}…` : box.label);
      const mark = s("text", { class: "badge", x: box.width / 2, y: box.height + 12 });
      const drawn = s("g", { class: "node", transform: `translate(${box.x} ${box.y})`, role: "button", tabindex: at ? -1 : 0 }, s("rect", { width: box.width, height: box.height, rx: round }), label, mark);
      drawn.addEventListener("click", () => open(box));
      drawn.addEventListener("keydown", (event) => keys(event, at));
      return { ...box, element: drawn, mark };
    });
    group.replaceChildren(...lines.flat().filter(Boolean), ...boxes.map((box) => box.element));
    moved = false;
    coloured = false;
  }

  function colour(nodes, critical) {
    const path = new Set(critical);
    for (const box of boxes) {
      const known = box.nodes.map((name) => nodes.get(name)).filter(Boolean);
      const state = worst(known.map((node) => node.state));
      box.rank = URGENT.has(state) ? RANK.indexOf(state) : RANK.length;
      const classes = ["node", kindOf(state)];
      if (box.nodes.length && box.nodes.every((name) => path.has(name))) classes.push("critical");
      if (box.nodes.length === 1 && box.nodes[0] === selected) classes.push("chosen");
      const wanted = classes.join(" ");
      if (box.element.getAttribute("class") !== wanted) box.element.setAttribute("class", wanted);
      const items = known.length === 1 ? known[0].items : null;
      let text = "";
      if (items) text = `${count(items.done)}/${count(items.size)}${items.failed ? `, ${count(items.failed)} failed` : ""}`;
      else if (known.length > 1) { const failed = known.filter((node) => node.state === "FAILURE").length; text = `${count(known.filter((node) => node.ended).length)}/${count(known.length)}${failed ? `, ${count(failed)} failed` : ""}`; }
      else if (known[0]?.retries) text = `${known[0].retries} retries`;
      if (box.mark.textContent !== text) box.mark.textContent = text;
      box.element.setAttribute("aria-label", `${box.label}, ${known.length ? wordOf(state) : "meeting point"}${text ? `, ${text}` : ""}`);
    }
    if (!coloured) { coloured = true; fit(); }
  }
  return { element, draw, colour, fit() { if (!moved) fit(); }, choose(name) { selected = name; } };
}
