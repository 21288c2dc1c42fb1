// Values as people read them.
import { h } from "./dom.js";

const KINDS = { SUCCESS: "good", FAILURE: "bad", UPSTREAM_FAILED: "warn", STARTED: "busy", RETRY: "warn", REVOKED: "violet", REJECTED: "bad",
  CANCELLED: "violet", CANCELLING: "violet", RECEIVED: "busy", AWAITING_SIGNAL: "busy", AWAITING_TASK: "warn", SLEEPING: "busy" };
const WORDS = { UPSTREAM_FAILED: "not run", STARTED: "running", SUCCESS: "succeeded", FAILURE: "failed", RETRY: "retrying", WAITING: "waiting",
  PENDING: "pending", SKIPPED: "skipped", REVOKED: "revoked", CANCELLED: "cancelled", CANCELLING: "cancelling", RECEIVED: "received",
  AWAITING_SIGNAL: "awaits signal", AWAITING_TASK: "no worker", SLEEPING: "sleeping", REJECTED: "rejected" };

export const kindOf = (state) => (KINDS[state] ? `s-${KINDS[state]}` : "");
export const wordOf = (state) => WORDS[state] ?? String(state).toLowerCase();
export const state = (name) => h("span", { class: `state ${kindOf(name)}` }, wordOf(name));

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 0.001) return `${Math.round(value * 1e6)}\u00a0µs`;
  if (value < 1) return `${Math.round(value * 1000)}\u00a0ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)}\u00a0s`;
  const all = Math.floor(value), [days, hours, minutes] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60];
  if (days) return `${days}\u00a0d ${hours}\u00a0h`;
  return hours ? `${hours}\u00a0h ${minutes}\u00a0min` : `${minutes}\u00a0min ${all % 60}\u00a0s`;
}

/** KiB as people read them. */
export const memory = (kib) => (!kib ? "" : kib < 1024 * 1024 ? `${Math.round(kib / 1024)}\u00a0MiB` : `${(kib / 1024 / 1024).toFixed(1)}\u00a0GiB`);

/** A schedule of Celery's, in words. */
export const schedule = (text) => text.replace(/^<freq: (?:1\.00 )?(.*)>$/, "every $1").replace(/^<crontab: (.*) \(m\/h\/dM\/MY\/d\)>$/, "crontab $1").replace(/\.00 /, " ");

export const count = (value) => (value === null || value === undefined ? "" : Number(value).toLocaleString("en"));
/** A number with its noun. */
export const many = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
export const rate = (value) => (value >= 100 ? count(Math.round(value)) : (value ?? 0).toFixed(value >= 10 || !value ? 0 : 1));

export function time(value) {
  if (!value) return "";
  const at = new Date(value * 1000), today = new Date().toDateString() === at.toDateString();
  const text = today ? at.toLocaleTimeString("en-GB") : at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  return h("time", { datetime: at.toISOString(), title: at.toISOString() }, text);
}

export const shortId = (id) => (id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);

/** For how long the next message has waited, in a queue or in all; at least, where no event says when it was sent. */
export const waited = ({ oldest, oldest_at_least }) => (oldest === null ? "" : `${oldest_at_least ? "≥\u00a0" : ""}${seconds(oldest)}`);

/** The number of living workers; undefined while the broker, which carries their heartbeats, does not answer. */
export const alive = ({ sources, workers }) => (sources.queues?.ok !== false && sources.events?.ok !== false ? count(workers.alive) : undefined);
