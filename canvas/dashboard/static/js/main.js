// The frame of the pages: navigation, the theme, the banner of stale data, and which page is shown.
import { act, follow, get } from "./api.js";
import { h, unescaped } from "./dom.js";
import { alive, count, many, seconds } from "./format.js";

const PAGES = [
  ["", "Overview", "overview"], ["workflows", "Workflows", "workflows"], ["tasks", "Tasks", "tasks"], ["workers", "Workers", "workers"],
  ["queues", "Queues", "queues"], ["schedules", "Schedules", "schedules"], ["docs", "API", "docs"],
];
const MISSING = [null, "Not found", "missing"];
const DETAILS = { workflows: "run", tasks: "task", workers: "worker", queues: "queue" };
const main = document.getElementById("main");
const shared = { session: null, overview: null };
let shown = null;
let turn = 0;

const root = () => new URL(document.baseURI).pathname;

function drawNav() {
  const links = PAGES.map(([path, name]) => h("a", { href: path || "./", id: `nav-${path || "overview"}` }, h("span", null, name), h("span", { class: "count" })));
  document.getElementById("nav").replaceChildren(...links);
}

function badge(page, text, bad = false) {
  const place = document.querySelector(`#nav-${page} .count`);
  place.textContent = text;
  place.classList.toggle("bad", bad);
}

async function show() {
  const mine = ++turn;
  const [first = "", ...rest] = location.pathname.slice(root().length).split("/").map(unescaped);
  const page = PAGES.find(([path]) => path === first) ?? MISSING;
  const module = await import(`./pages/${rest[0] && DETAILS[first] ? DETAILS[first] : page[2]}.js`);
  for (const [path] of PAGES) {
    const item = document.getElementById(`nav-${path || "overview"}`);
    if (path === page[0]) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  if (mine !== turn) return;
  shown?.leave?.();
  const place = h("div");
  main.replaceChildren(place);
  document.title = `${page[1]} · canvas`;
  shown = module.page(place, { rest: rest.join("/"), query: new URLSearchParams(location.search), ...shared, refresh });
  if (shared.overview) shown.heard?.(shared.overview);
  await refresh();
}

let busy = false;
async function refresh() {
  if (!shown?.load || busy) return;
  busy = true;
  const page = shown;
  try { await page.load(); } catch (error) { if (page === shown) page.failed ? page.failed(error) : banner(error.message); } finally { busy = false; }
  if (page !== shown) await refresh();
}

export function go(path) {
  history.pushState(null, "", new URL(path, document.baseURI));
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
  return show();
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || anchor.target) return;
  const target = new URL(anchor.href);
  if (target.origin !== location.origin || !target.pathname.startsWith(root()) || anchor.getAttribute("href").startsWith("#")) return;
  if (target.pathname.includes("/api/")) return;
  event.preventDefault();
  go(target.href);
});
addEventListener("popstate", show);

function banner(text) {
  const place = document.getElementById("stale");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = !text;
}

const SOURCES = { events: "the events have", queues: "the broker has", workers: "the workers have", runs: "the result backend has", groups: "the result backend has", schedule: "the schedule has", broker_api: "RabbitMQ's management API has" };

/** What is wrong with the sources of the data, as sentences. */
function troubles({ now, sources, history }) {
  const age = (source) => seconds(now - (source.looked || source.since));
  const away = Object.entries(sources).filter(([name, source]) => !source.ok && name !== "history");
  const found = [];
  if (away.length) found.push(`Stale data: ${[...new Map(away.map(([name, source]) => [SOURCES[name], source]))].map(([name, source]) => `${name} not answered for ${age(source)}`).join("; ")}. ${away[0][1].error ?? ""}`);
  if (sources.history && !sources.history.ok) found.push(`History has not been written for ${age(sources.history)}: ${many(history.waiting, "ended task")} will be written later. ${sources.history.error ?? ""}`);
  if (history?.left_out) found.push(`${many(history.left_out, "ended task")} will be missing in the history.`);
  return found.join(" ");
}

function heard(overview) {
  shared.overview = overview;
  banner(troubles(overview));
  badge("workers", alive(overview) ?? "?");
  badge("queues", overview.dead ? `${count(overview.dead)} dead` : count(overview.waiting), overview.dead > 0);
  badge("workflows", overview.runs.failed ? `${count(overview.runs.failed)} failed` : overview.runs.running ? count(overview.runs.running) : "", overview.runs.failed > 0);
  shown?.heard?.(overview);
}

let since = 0;
function lost(away) {
  if (!away) since = 0;
  else { since ||= Date.now(); banner(`The dashboard does not answer since ${new Date(since).toLocaleTimeString("en-GB")}; this page is stale.`); }
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  document.getElementById("theme").textContent = name === "dark" ? "Light theme" : "Dark theme";
  dispatchEvent(new Event("themed"));
}
theme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", name);
  theme(name);
});

drawNav();
get("session").then((session) => {
  shared.session = session;
  document.getElementById("who").textContent = [session.app, session.user, session.read_only ? "read only" : ""].filter(Boolean).join(" · ");
}).catch((error) => banner(error.message)).finally(() => { show(); follow(heard, lost); });
setInterval(() => { if (shared.session?.auto_refresh !== false && !document.hidden && shown?.every !== 0) refresh(); }, 2000);
export { act };
