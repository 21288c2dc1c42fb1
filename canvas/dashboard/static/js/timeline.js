// The nodes of a run over time.
import { h, s } from "./dom.js";
import { kindOf, seconds, wordOf } from "./format.js";

const HIGH = 22, MOST = 1000;
const NEVER_BEGAN = new Set(["UPSTREAM_FAILED", "SKIPPED"]);

export function timeline(chosen) {
  const element = h("div", { class: "panel timeline", tabindex: 0, role: "region", "aria-label": "Timeline of the run" });

  function draw(nodes, now) {
    const ran = nodes.filter((node) => node.started || (node.ended && !NEVER_BEGAN.has(node.state))).sort((a, b) => (a.started ?? a.ended) - (b.started ?? b.ended));
    if (!ran.length) { element.replaceChildren(h("p", { class: "empty" }, "No node has started.")); return; }
    const first = ran[0].started ?? ran[0].ended;
    const last = Math.max(first + 0.001, ...ran.map((node) => node.ended ?? now));
    const narrow = (element.clientWidth || 900) < 600;
    const [LEFT, RIGHT, longest] = narrow ? [110, 90, 14] : [190, 180, 26];
    const wide = Math.max(120, (element.clientWidth || 900) - LEFT - RIGHT - 10);
    const x = (at) => LEFT + (at - first) / (last - first) * wide;
    const bars = ran.slice(0, MOST).map((node, at) => {
      const from = node.started ?? node.ended, to = node.ended ?? now;
      const words = node.started ? seconds(to - from) + (node.ended || narrow ? "" : `, ${wordOf(node.state)}`) : "start unknown";
      const bar = s("g", { class: "bar" }, s("title", null, `${node.name}: ${words}`), s("text", { x: LEFT - 8, y: at * HIGH + 38, "text-anchor": "end" }, node.name.length > longest ? `${node.name.slice(0, longest - 1)}…` : node.name),
        s("rect", { x: x(from), y: at * HIGH + 27, width: Math.max(2, x(to) - x(from)), height: 14, rx: 3, class: kindOf(node.state) }), s("text", { x: x(to) + 5, y: at * HIGH + 38 }, words));
      bar.addEventListener("click", () => chosen(node.name));
      return bar;
    });
    const high = bars.length * HIGH + 40;
    const axis = (narrow ? [0, 1] : [0, 0.25, 0.5, 0.75, 1]).map((share) => s("g", { class: "axis" }, s("line", { x1: LEFT + share * wide, x2: LEFT + share * wide, y1: 20, y2: high }), s("text", { x: LEFT + share * wide, y: 14, "text-anchor": "middle" }, share ? seconds(share * (last - first)) : "0")));
    element.replaceChildren(s("svg", { width: LEFT + wide + RIGHT, height: high, role: "img", "aria-label": `${ran.length} nodes over ${seconds(last - first)}` }, axis, bars));
  }
  return { element, draw };
}
