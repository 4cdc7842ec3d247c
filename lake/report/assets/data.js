"use strict";
/* The page's data, and the small words that all of its scripts share.

   series     [instrument, venue, timeframe, type, rows, missing, bytes, csv bytes, files, first, last,
              gaps]; missing is null where nobody can count
   cells.of   per series [place of its first month, [expected, to act on, explained, not expected,
              gaps, ...five for each month]]
   gaps       columns: series, start, end (seconds), missing, reason and evidence (places in those lists)
   charts     {gap, band: [opens of missing candles], candles: [time, open, high, low, close, volume]}
   violations by run: [severity, type, venue, instrument, timeframe, start, end, rows, detail]

   Texts of the lake become text nodes only, never HTML. */

const NUMBER = new Intl.NumberFormat("en");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const [EXPECTED, ATTENTION, EXPLAINED, NOT_EXPECTED, GAPS] = [0, 1, 2, 3, 4];

async function readData() {
  const packed = document.getElementById("data").textContent;
  const bytes = Uint8Array.from(atob(packed.trim()), (each) => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(stream).text());
  data.series = data.series.map((row, number) => seriesOf(row, number, data.cells.of[number]));
  data.bySeries = data.series.map(() => []);
  data.gaps.series.forEach((number, gap) => data.bySeries[number].push(gap));
  data.chartOf = new Map(data.charts.map((chart) => [chart.gap, chart]));
  return data;
}

function seriesOf(row, number, cells) {
  const [instrument, venue, timeframe, type, rows, missing, bytes, csv, files, first, last, gaps] = row;
  const what = timeframe || type;
  const totals = [0, 0, 0, 0, 0];
  cells[1].forEach((value, place) => { totals[place % 5] += value; });
  return {
    number, instrument, venue, timeframe, type, rows, missing, bytes, csv, files, first, last, gaps, what,
    totals, ratio: ratioOf(totals), isCounted: type === "ohlcv",
    name: `${instrument}.${venue} ${what}`,
    words: `${instrument} ${venue} ${what} ${type}`.toLowerCase(),
    from: cells[0], cells: cells[1],
  };
}

/* The five numbers of one month, or null where nothing is expected. */
function cellOf(series, month) {
  const at = (month - series.from) * 5;
  if (at < 0 || at >= series.cells.length || series.cells[at] === 0) return null;
  return series.cells.slice(at, at + 5);
}

/* Rows held of those that somebody expects; null where nobody does. */
function ratioOf(cell) {
  const wanted = cell[EXPECTED] - cell[NOT_EXPECTED];
  return wanted > 0 ? (wanted - cell[ATTENTION] - cell[EXPLAINED]) / wanted : null;
}

/* Which class of the legend a cell belongs to; docs/report.md says what they mean. */
function kindOf(cell) {
  if (cell === null) return "blank";
  const ratio = ratioOf(cell);
  if (ratio === null) return "out";
  if (cell[ATTENTION] === 0) return cell[EXPLAINED] === 0 ? "full" : "told";
  if (ratio <= 0) return "none-held";
  return ratio >= 0.999 ? "p1" : ratio >= 0.99 ? "p2" : ratio >= 0.9 ? "p3" : "p4";
}

const KIND_TEXT = {
  blank: "nothing was ever wanted", out: "nothing is expected", full: "complete",
  told: "missing rows are explained", "none-held": "nothing is held",
  p1: "partly missing", p2: "partly missing", p3: "partly missing", p4: "partly missing",
};

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((each) => each !== null && each !== undefined));
  return element;
}

const pad = (number) => String(number).padStart(2, "0");
const plural = (count, one, many) => `${NUMBER.format(count)} ${count === 1 ? one : many || one + "s"}`;

/* What is not whole never looks whole. */
function percent(ratio) {
  if (ratio === null) return "–";
  if (ratio >= 1) return "100 %";
  if (ratio <= 0.99) return `${(ratio * 100).toFixed(1)} %`;
  return `${Math.min(ratio * 100, 99.9999).toPrecision(ratio > 0.9999 ? 6 : 4)} %`;
}

function sizeText(bytes) {
  let place = 0;
  while (bytes >= 1000 && place < 4) { bytes /= 1000; place += 1; }
  return place === 0 ? `${bytes} bytes` : `${bytes.toFixed(1)} ${["", "kB", "MB", "GB", "TB"][place]}`;
}

function timeText(seconds) {
  if (seconds === null) return "–";
  const at = new Date(seconds * 1000);
  const day = `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())}`;
  const clock = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
  return at.getUTCSeconds() ? `${day} ${clock}:${pad(at.getUTCSeconds())}` : `${day} ${clock}`;
}

function spanText(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const parts = [];
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length);
    if (count && parts.length < 2) parts.push(`${NUMBER.format(count)} ${unit}`);
    seconds -= count * length;
  }
  return parts.join(" ") || "0 s";
}

function monthText(index) {
  return `${Math.floor(index / 12)}-${pad((index % 12) + 1)}`;
}

/* The first second of a month counted as year * 12 + month. */
const monthStart = (index) => Date.UTC(Math.floor(index / 12), index % 12, 1) / 1000;
