// The last hour as lines.
import { h } from "./dom.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** The places of values without neighbours: no line would show them. */
const alone = (plot, series) => plot.data[series].flatMap((value, at, all) => (value !== null && (all[at - 1] ?? null) === null && (all[at + 1] ?? null) === null ? [at] : []));

/** A chart. `lines`: [{label, colour, values}]; `unit` is behind each value, or a function that writes one. */
export function chart(title, unit, least = 1) {
  const place = h("div", { class: "chart" });
  const summary = h("p", { class: "soft" });
  const element = h("section", { class: "panel", "aria-label": title }, h("h2", null, title), place, summary);
  let plot = null;
  let last = null;
  const text = (value) => (value === null || value === undefined ? "–" : typeof unit === "function" ? (value ? unit(value) : "0") : `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))}${unit}`);

  function draw(times, lines) {
    last = [times, lines];
    const data = [times, ...lines.map((line) => line.values)];
    summary.textContent = lines.map((line) => `${line.label} ${text(line.values.findLast((value) => value !== null))}`).join(" · ");
    if (plot) return plot.setData(data);
    if (!place.clientWidth || !globalThis.uPlot) return undefined;
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    plot = new globalThis.uPlot({
      width: place.clientWidth, height: 190, legend: { show: false }, cursor: { y: false },
      series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 1.6, points: { show: true, size: 4, width: 1, fill: colour(line.colour), filter: alone }, spanGaps: false }))],
      scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, least) * 1.1] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 74, values: (_, ticks) => ticks.map(text) }],
    }, data, place);
    plot.root.setAttribute("aria-hidden", "true");
    return undefined;
  }

  const again = () => { plot?.destroy(); plot = null; if (last) draw(...last); };
  const observer = new ResizeObserver(() => { if (plot && place.clientWidth) plot.setSize({ width: place.clientWidth, height: 190 }); });
  observer.observe(place);
  addEventListener("themed", again);
  return { element, draw, leave() { observer.disconnect(); removeEventListener("themed", again); plot?.destroy(); } };
}
