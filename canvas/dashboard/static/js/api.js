// Requests to the API below the path at which the dashboard is mounted.
import { toast } from "./dom.js";

const url = (path) => new URL(path, document.baseURI);

export class Failed extends Error {}

async function answer(response) {
  const text = await response.text();
  let found;
  const plain = response.headers.get("content-type")?.startsWith("text/plain");
  try { found = JSON.parse(text); } catch { found = { error: (plain && text) || `The answer is ${response.status} ${response.statusText}` }; }
  if (!response.ok) throw Object.assign(new Failed(found.error ?? response.statusText), { status: response.status });
  return found;
}

export async function get(path, query = {}) {
  const target = url(`api/v1/${path}`);
  for (const [name, value] of Object.entries(query)) for (const one of [value].flat()) if (one !== "" && one !== null && one !== undefined) target.searchParams.append(name, one);
  return answer(await fetch(target, { headers: { accept: "application/json" } }));
}

/** The header that proves that this page asks for an action: of the application around the dashboard, or the dashboard's own. */
function proof() {
  const host = document.querySelector("meta[name=csrf]");
  if (host.dataset.header) return { [host.dataset.header]: host.content };
  return { "x-canvas-csrf": document.cookie.split("; ").find((one) => one.startsWith("canvas_csrf="))?.slice(12) ?? "" };
}

/** Carries an action out and says what came of it; gives the answer, or null when it was refused. */
export async function act(path, body = {}) {
  try {
    const found = await answer(await fetch(url(`api/v1/${path}`), { method: "POST", body: JSON.stringify(body),
      headers: { "content-type": "application/json", ...proof() } }));
    toast(found.message ?? "Done", found.done === false);
    return found;
  } catch (error) {
    toast(error.message, true);
    return null;
  }
}

/** Calls `heard` with the figures of each second, and `lost` with whether the dashboard itself is away. */
export function follow(heard, lost) {
  const source = new EventSource(url("api/v1/stream"));
  let ended = false;
  source.addEventListener("overview", (event) => { ended = false; lost(false); heard(JSON.parse(event.data)); });
  source.addEventListener("again", () => { ended = true; });
  source.addEventListener("error", () => { if (!ended) lost(true); ended = false; });
}
