// The dashboard: reads the API, shows the figures, and reads again when the server says that something changed.
// Money stays a decimal string until it is formatted; only charts turn it into numbers.

import { followImports, readImports } from "./imports.js";
import {
  NeedsKey, css, date, day, element, fill, moment, money, month, note, number, read, row, shortMoment, show, showIn, text, whole,
} from "./page.js";

const HALF_A_DAY = 43_200;
const UNCATEGORIZED = "uncategorized";
const DAYS_SHOWN = 31;
const MOST_CURRENCIES = 60;
const POLL_MILLISECONDS = 15_000;

function showMonths({ rows }) {
  const latest = rows[0];
  show("figure-revenue", money(latest?.revenue ?? 0));
  show("figure-orders", whole.format(latest?.order_count ?? 0));
  show("figure-average", money(latest?.avg_order_value ?? 0));
  show("figure-customers", whole.format(latest?.unique_customers ?? 0));
  show("note-month", latest ? `${month.format(date(latest.month))}, ${money(latest.net_revenue)} after refunds` : "no completed order yet");
  fill("months", rows.map((each) => row(
    text(month.format(date(each.month))), number(whole.format(each.order_count)), number(money(each.revenue)),
    number(money(each.avg_order_value)), number(whole.format(each.unique_customers)),
  )), "No month yet. Figures appear with the first completed order.");
}

const charts = new Map();

function bars(id, days, values, label, color, format) {
  const box = element(id);
  charts.get(id)?.destroy();
  box.replaceChildren();
  if (!days.length) return void box.append(note("empty", "No day yet. The daily ETL fills this at 02:00."));
  const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
  const short = (value) => (value >= 1000 ? `${value / 1000}k` : `${value}`);
  charts.set(id, new uPlot({
    width: box.clientWidth, height: box.clientHeight - 34, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { range: (_, first, last) => [first - HALF_A_DAY, last + HALF_A_DAY] }, y: { range: (_, __, highest) => [0, highest * 1.08 || 1] } },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    axes: [
      { ...axis, grid: { show: false }, values: (_, splits) => splits.map((seconds) => day.format(new Date(seconds * 1000))) },
      { ...axis, size: 46, values: (_, splits) => splits.map(short) },
    ],
    series: [
      { label: "Day", value: (_, seconds) => (seconds == null ? "–" : day.format(new Date(seconds * 1000))) },
      {
        label, stroke: color, fill: color, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 38], radius: 0.18 }),
        value: (_, value) => (value == null ? "–" : format(value)),
      },
    ],
  }, [days.map((each) => date(each.day).getTime() / 1000), values], box));
}

let shownDays = [];

// A shop that has been quiet, or a sample of another year: show the last month that had orders instead of zeros.
async function lastBusyDays(days, [latest], currency) {
  if (!latest || days.rows.some((each) => each.order_count > 0)) return days;
  const next = date(latest.month);
  next.setUTCMonth(next.getUTCMonth() + 1);
  return read(`/v1/views/daily_analytics?limit=${DAYS_SHOWN}&before=${next.toISOString().slice(0, 10)}${only(currency)}`);
}

function showDays({ rows }) {
  shownDays = [...rows].reverse();
  drawDays();
}

function drawDays() {
  const [first, last] = [shownDays[0], shownDays.at(-1)].map((each) => each && date(each.day));
  const span = first ? `${day.format(first)} – ${day.format(last)} ${last.getUTCFullYear()}` : "";
  show("note-days", span);
  show("note-orders", span);
  bars("chart-revenue", shownDays, shownDays.map((each) => Number(each.total_revenue)), "Revenue", css("--water"), money);
  bars("chart-orders", shownDays, shownDays.map((each) => each.order_count), "Orders", css("--sun"), (value) => whole.format(value));
}

function showProducts({ rows }) {
  const highest = Math.max(0, ...rows.map((each) => Number(each.revenue)));
  show("note-products", rows.length ? "by revenue" : "");
  fill("products", rows.map((each) => {
    const meter = document.createElement("meter");
    meter.max = highest || 1;
    meter.value = Number(each.revenue);
    const name = each.product_name ?? each.product_id;
    return row({ nodes: [name, note("sub", each.category === UNCATEGORIZED ? each.product_id : `${each.product_id} · ${each.category}`), meter] },
      number(whole.format(each.units_sold)), number(whole.format(each.order_count)), number(money(each.revenue)));
  }), "No product sold yet.");
}

function duration(run) {
  if (!run.finished_at) return "…";
  const seconds = (new Date(run.finished_at) - new Date(run.started_at)) / 1000;
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

function showRuns({ runs }) {
  fill("runs", runs.map((run) => row(
    { nodes: [note(`state ${run.status}`, run.pipeline), ...(run.error ? [note("sub error", run.error)] : [])] },
    text(shortMoment.format(new Date(run.started_at))), number(duration(run)),
    number(whole.format(run.rows_in)), number(whole.format(run.rows_out)), number(whole.format(run.rows_rejected)),
  )), "No pipeline has run yet.");
}

function showFreshness(times) {
  const oldest = times.filter(Boolean).map((time) => new Date(time)).sort((one, other) => one - other)[0];
  show("freshness", oldest ? `Figures as of ${moment.format(oldest)}` : "No figures yet");
  element("freshness").classList.remove("stale");
}

const only = (currency) => (currency ? `&currency=${currency}` : "");

// Nothing on the page adds two currencies: it shows one at a time. Each computed day has a row for every currency; before
// the first night the months know those of today. First comes the one with most orders in the latest month.
async function chooseCurrency() {
  const [days, months] = await Promise.all([
    read(`/v1/views/daily_analytics?limit=${MOST_CURRENCIES}`), read(`/v1/views/monthly_revenue?limit=${MOST_CURRENCIES}`),
  ]);
  const newest = (rows, time) => rows.filter((each) => each[time] === rows[0][time]);
  const lately = newest(months.rows, "month").sort((one, other) => other.order_count - one.order_count);
  const found = new Set([...lately, ...newest(days.rows, "day"), ...months.rows].map((each) => each.currency));
  const box = element("currency");
  const chosen = found.has(box.value) ? box.value : [...found][0];
  box.replaceChildren(...[...found].map((each) => new Option(each, each, false, each === chosen)));
  box.hidden = found.size < 2;
  return chosen;
}

let turns = 0;

// The figures of a shop; a project with other domains has runs and imports only.
async function showShop(views) {
  const sells = ["monthly_revenue", "daily_analytics", "product_performance"].every((name) => views.includes(name));
  for (const section of document.getElementsByClassName("shop")) section.hidden = !sells;
  if (!sells) return show("freshness", "");
  const turn = ++turns;
  const currency = await chooseCurrency();
  const [months, days, products] = await Promise.all([
    read(`/v1/views/monthly_revenue?limit=12${only(currency)}`),
    read(`/v1/views/daily_analytics?limit=${DAYS_SHOWN}${only(currency)}`),
    read(`/v1/views/product_performance?limit=10${only(currency)}`),
  ]);
  const shown = await lastBusyDays(days, months.rows, currency);
  if (turn !== turns) return; // another currency was chosen meanwhile
  showIn(currency);
  showMonths(months);
  showDays(shown);
  showProducts(products);
  showFreshness([months.refreshed_at, products.refreshed_at]);
}

async function refresh() {
  try {
    const [{ views }, runs, imports] = await Promise.all([read("/v1/views"), read("/v1/runs?limit=24"), readImports()]);
    showRuns(runs);
    followImports(imports, refresh);
    await showShop(views.map((view) => view.name));
    element("problem").hidden = true;
  } catch (error) {
    if (error instanceof NeedsKey) return askForKey();
    element("freshness").classList.add("stale");
    element("problem").hidden = false;
    show("problem", `The figures could not be read: ${error.message} What you see may be old; the next try is in ${POLL_MILLISECONDS / 1000} seconds.`);
  }
}

function askForKey() {
  const dialog = element("key-dialog");
  sessionStorage.removeItem("penstock-key");
  if (dialog.open) return;
  dialog.addEventListener("close", () => {
    sessionStorage.setItem("penstock-key", element("key").value.trim());
    element("key").value = "";
    refresh();
  }, { once: true });
  dialog.showModal();
}

element("currency").addEventListener("change", refresh);
let drawing;
addEventListener("resize", () => { clearTimeout(drawing); drawing = setTimeout(drawDays, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawDays);
setInterval(() => { if (!document.hidden) refresh(); }, POLL_MILLISECONDS);
refresh();
