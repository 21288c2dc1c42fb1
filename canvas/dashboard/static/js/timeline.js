// The nodes of a run over time.
import { h, s } from "./dom.js";
import { kindOf, seconds } from "./format.js";

const HIGH = 22, LEFT = 190, MOST = 1000;

export function timeline(chosen) {
  const element = h("div", { class: "panel timeline", tabindex: 0, role: "region", "aria-label": "Timeline of the run" });

  function draw(nodes, now) {
    const ran = nodes.filter((node) => node.started || node.ended).sort((a, b) => (a.started ?? a.ended) - (b.started ?? b.ended));
    if (!ran.length) { element.replaceChildren(h("p", { class: "empty" }, "No node has started.")); return; }
    const first = ran[0].started ?? ran[0].ended;
    const last = Math.max(first + 0.001, ...ran.map((node) => node.ended ?? now));
    const wide = Math.max(320, (element.clientWidth || 900) - LEFT - 60);
    const x = (at) => LEFT + (at - first) / (last - first) * wide;
    const bars = ran.slice(0, MOST).map((node, at) => {
      const from = node.started ?? node.ended, to = node.ended ?? now;
      const bar = s("g", { class: "bar" }, s("title", null, `${node.name}: ${seconds(to - from)}`), s("text", { x: LEFT - 8, y: at * HIGH + 38, "text-anchor": "end" }, node.name.length > 26 ? `${node.name.slice(0, 25)}…` : node.name),
        s("rect", { x: x(from), y: at * HIGH + 27, width: Math.max(2, x(to) - x(from)), height: 14, rx: 3, class: kindOf(node.state) }), s("text", { x: x(to) + 5, y: at * HIGH + 38 }, seconds(to - from)));
      bar.addEventListener("click", () => chosen(node.name));
      return bar;
    });
    const high = bars.length * HIGH + 40;
    const axis = [0, 0.25, 0.5, 0.75, 1].map((share) => s("g", { class: "axis" }, s("line", { x1: LEFT + share * wide, x2: LEFT + share * wide, y1: 20, y2: high }), s("text", { x: LEFT + share * wide, y: 14, "text-anchor": "middle" }, share ? seconds(share * (last - first)) : "0")));
    element.replaceChildren(s("svg", { width: LEFT + wide + 60, height: high, role: "img", "aria-label": `${ran.length} nodes over ${seconds(last - first)}` }, axis, bars));
  }
  return { element, draw };
}
