// A run's graph: boxes and lines at the places that the server has computed, coloured by state, to zoom and to drag.
import { h, s } from "./dom.js";
import { count, kindOf, wordOf } from "./format.js";

const RANK = ["FAILURE", "REVOKED", "STARTED", "RETRY", "AWAITING_TASK", "AWAITING_SIGNAL", "SLEEPING", "PENDING", "UPSTREAM_FAILED", "WAITING", "SKIPPED", "SUCCESS"];

const KINDS_SHOWN = [["s-good", "succeeded"], ["s-busy", "runs or waits for a signal"], ["s-bad", "failed"], ["s-warn", "not run, or retrying"], ["s-violet", "cancelled"], ["", "not started"]];

/** The state that a box of several nodes shows: the one that asks for most attention. */
const worst = (states) => RANK.find((state) => states.includes(state)) ?? states[0] ?? "";

export function graph(chosen, expand) {
  const group = s("g");
  const svg = s("svg", { role: "group", "aria-label": "Graph of the run. Use the arrow keys to go from node to node." }, s("defs", null, s("marker", { id: "arrow", markerWidth: 8, markerHeight: 8, refX: 7, refY: 4, orient: "auto" }, s("path", { d: "M0,0 L8,4 L0,8 z", class: "arrow" }))), group);
  const legend = h("p", { class: "legend" }, KINDS_SHOWN.map(([kind, word]) => h("span", { class: `state ${kind}` }, word)), h("span", { class: "state path" }, "critical path"), h("span", { class: "soft" }, "dashed line: order only"));
  const plane = h("div", { class: "plane" }, svg, h("div", { class: "tools" }, h("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(1.3) }, "+"), h("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.3) }, "−"), h("button", { type: "button", onclick: () => { moved = false; fit(); } }, "Fit")));
  const element = h("div", { class: "panel graph" }, plane, legend);
  let boxes = [];
  let size = { width: 1, height: 1 };
  let view = { x: 0, y: 0, scale: 1 };
  let selected = null;
  let moved = false;

  const place = () => group.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  function zoom(factor, x = plane.clientWidth / 2, y = plane.clientHeight / 2) {
    moved = true;
    const scale = Math.min(4, Math.max(0.02, view.scale * factor));
    view = { x: x - (x - view.x) * scale / view.scale, y: y - (y - view.y) * scale / view.scale, scale };
    place();
  }
  function fit() {
    const scale = Math.min(1.15, (plane.clientWidth || 800) / size.width, (plane.clientHeight || 460) / size.height);
    view = { scale, x: Math.max(0, (plane.clientWidth - size.width * scale) / 2), y: Math.max(0, (plane.clientHeight - size.height * scale) / 2) };
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
    if (box.key && box.nodes.length > 1) expand(box.key);
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

  function draw(picture) {
    size = picture;
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
    fit();
  }

  function colour(nodes, critical) {
    const path = new Set(critical);
    for (const box of boxes) {
      const known = box.nodes.map((name) => nodes.get(name)).filter(Boolean);
      const state = worst(known.map((node) => node.state));
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
  }
  return { element, draw, colour, fit, choose(name) { selected = name; } };
}
