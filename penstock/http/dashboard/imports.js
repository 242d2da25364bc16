// The last imports, each with a bar by bytes and lines. While one runs they are read every second; when it has ended,
// the caller gets a callback, since figures follow from it.

import { fill, note, number, read, row, shortMoment, whole } from "./page.js";

const RUNNING = new Map([
  ["waiting", "about to start"], ["loading", "reading"], ["forming", "making events"], ["appending", "storing"],
]);
const FAILED = ["failed", "aborted"];
// Read to the end; with rejects: more than a share of the lines was refused.
const LOADED = new Map([["completed", ""], ["completed_with_rejects", "completed with rejects · "]]);
const SHOWN = 6;
const POLL_MILLISECONDS = 1_000;

let timer;
let ran = false;

export const readImports = () => read(`/v1/imports?limit=${SHOWN}`);

export function followImports({ imports }, ended) {
  fill("imports", imports.map(line), "No file yet. Send one to POST /v1/imports/{target}.");
  clearTimeout(timer);
  const runs = imports.some((each) => RUNNING.has(each.state));
  if (runs) timer = setTimeout(() => again(ended), POLL_MILLISECONDS);
  if (ran && !runs) ended();
  ran = runs;
}

// What goes wrong here is not shown: the page reads all again before long, and shows it then.
function again(ended) {
  if (document.hidden) return void (timer = setTimeout(() => again(ended), POLL_MILLISECONDS));
  readImports().then((found) => followImports(found, ended)).catch(() => {});
}

function line(each) {
  const kind = RUNNING.has(each.state) || each.state === "uploading" ? "running" : FAILED.includes(each.state) ? "failed" : each.state;
  const name = note(`state ${kind}`, each.source_name);
  name.title = each.source_name;
  const nodes = [name, bar(each, kind), note("sub", summary(each))];
  if (each.error) nodes.push(note("sub error", each.error));
  return row({ nodes }, number(whole.format(each.loaded)), number(whole.format(each.duplicate)), number(whole.format(each.rejected + each.held)));
}

function bar(each, kind) {
  const reached = LOADED.has(each.state) ? 1 : each.bytes_read / (each.size_bytes || 1);
  const done = LOADED.has(each.state) ? 1 : reached * ((each.read - each.pending) / (each.read || 1));
  const track = document.createElement("span");
  track.className = `progress ${kind}`;
  track.setAttribute("role", "progressbar");
  track.setAttribute("aria-label", `Import of ${each.source_name}`);
  track.setAttribute("aria-valuenow", Math.round(done * 100));
  for (const [part, share] of [["reached", reached], ["done", done]]) {
    const fill = document.createElement("span");
    fill.className = part;
    fill.style.width = `${(share * 100).toFixed(1)}%`;
    track.append(fill);
  }
  return track;
}

function summary(each) {
  const start = `${each.target} · ${shortMoment.format(new Date(each.created_at))}`;
  if (each.state === "uploading") return `${start} · waits for its file`;
  if (RUNNING.has(each.state)) {
    const read = whole.format(each.read);
    const lines = each.state === "loading" ? `${read} lines read` : `${whole.format(each.read - each.pending)} of ${read} lines done`;
    return `${start} · ${RUNNING.get(each.state)}${stored(each.storing)} · ${part(each.bytes_read, each.size_bytes)} · ${lines}`;
  }
  const same = each.result.same_as ? " · the same file as before" : "";
  const held = each.held ? ` · ${whole.format(each.held)} held` : "";
  const skipped = each.skipped ? ` · ${whole.format(each.skipped)} skipped` : "";
  const state = LOADED.get(each.state) ?? `${each.state} · `;
  return `${start} · ${state}${amount(each.size_bytes)} · ${whole.format(each.read)} lines${skipped}${held}${same}`;
}

// Lines become events part by part of the file.
function stored(storing) {
  if (!storing) return "";
  return `${storing.parts > 1 ? ` part ${storing.part} of ${storing.parts}` : ""} · ${whole.format(storing.events)} events`;
}

const UNITS = [[1e9, "GB"], [1e6, "MB"], [1e3, "KB"], [1, "bytes"]];
const unitOf = (size) => UNITS.find(([unit]) => size >= unit) ?? UNITS.at(-1);
const inUnits = (size, unit) => (size / unit).toFixed(unit === 1 ? 0 : 1);

function amount(size) {
  const [unit, name] = unitOf(size);
  return `${inUnits(size, unit)} ${name}`;
}

function part(read, size) {
  const [unit, name] = unitOf(size);
  return `${inUnits(read, unit)} of ${inUnits(size, unit)} ${name}`;
}
