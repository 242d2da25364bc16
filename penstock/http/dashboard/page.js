// What every part of the dashboard uses: how it reads the API, formats, and writes tables. Text goes in as text, never as
// markup: names come from files and from outside.

const NO_CURRENCY = "XXX";
const plain = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
let amounts = plain;
// Whatever is shown is of one currency: each has its sign and its digits.
export function showIn(currency) {
  amounts = !currency || currency === NO_CURRENCY ? plain : new Intl.NumberFormat("en-GB", { style: "currency", currency });
}
export const money = (value) => amounts.format(value);
export const whole = new Intl.NumberFormat("en-GB");
export const month = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
export const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
export const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
export const shortMoment = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const element = (id) => document.getElementById(id);
export const show = (id, text) => { element(id).textContent = text; };
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const date = (text) => new Date(`${text.slice(0, 10)}T00:00:00Z`);

export class NeedsKey extends Error {}

export async function read(path) {
  const key = sessionStorage.getItem("penstock-key");
  const answer = await fetch(path, { headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (answer.status === 401 || answer.status === 403) throw new NeedsKey();
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? `${path} answered ${answer.status}`);
  return body;
}

export function row(...cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const box = document.createElement("td");
    if (cell.number) box.className = "number";
    box.append(...(cell.nodes ?? [cell.text]));
    line.append(box);
  }
  return line;
}
export const text = (value) => ({ text: value });
export const number = (value) => ({ text: value, number: true });

export function note(className, value) {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = value;
  return span;
}

export function fill(id, rows, emptyText) {
  const body = element(id).tBodies[0];
  if (!rows.length) {
    const cell = document.createElement("td");
    cell.colSpan = element(id).tHead.rows[0].cells.length;
    cell.className = "empty";
    cell.textContent = emptyText;
    const line = document.createElement("tr");
    line.append(cell);
    rows = [line];
  }
  body.replaceChildren(...rows);
}
