/* Lists gaps: those of a cell that was chosen, and the most serious of all. */

const GAP_COLUMNS = [text("from"), text("to"), number("missing"), text("reason"), { name: "how it is known", class: "said" }, text("")];

function gapRow(data, gap, choose) {
  const { series, start, end, missing, reason, evidence } = data.gaps;
  const of = data.series[series[gap]];
  const [word, kind] = data.reasons[reason[gap]];
  const count = missing[gap] === null ? spanText(end[gap] - start[gap]) : NUMBER.format(missing[gap]);
  const button = data.chartOf.has(gap)
    ? make("button", { type: "button", class: "draw", "aria-label": `Chart of the gap of ${of.name} from ${timeText(start[gap])}`, onclick: () => choose(gap) }, "Chart")
    : null;
  return [
    make("time", {}, timeText(start[gap])), make("time", {}, timeText(end[gap])), count,
    make("span", { class: `kind ${kind.replaceAll(" ", "_") === "to_act_on" ? "attention" : kind.replaceAll(" ", "_")}` }, word),
    data.evidence[evidence[gap]], button || "",
  ];
}

/* Those of a series that lie in a month, longest first. */
function gapsIn(data, series, month) {
  const [from, until] = [monthStart(month), monthStart(month + 1)];
  const { start, end } = data.gaps;
  return data.bySeries[series.number]
    .filter((gap) => start[gap] < until && end[gap] > from)
    .sort((one, other) => (end[other] - start[other]) - (end[one] - start[one]));
}

/* Shows the gaps of one cell below the map; *leave* is called when it is closed. */
function showCell(data, series, month, leave) {
  const panel = document.getElementById("panel");
  const cell = cellOf(series, month);
  const index = data.cells.first + month;
  const title = make("h3", { tabindex: "-1" }, `${series.name}, ${monthText(index)}`);
  const place = make("div");
  const close = () => { panel.hidden = true; clearChart(place); panel.replaceChildren(); leave(); };
  const shut = make("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "×");
  const body = make("div");
  panel.replaceChildren(shut, title, make("p", {}, cellText(series, cell)), body);
  panel.onkeydown = (event) => { if (event.key === "Escape") close(); };
  panel.hidden = false;
  const found = cell === null ? [] : gapsIn(data, series, index);
  if (found.length) {
    const choose = (gap) => showChart(data, gap, place);
    body.append(tableOf("Gaps of this month", GAP_COLUMNS, found.map((gap) => gapRow(data, gap, choose))), place);
    const charted = found.find((gap) => data.chartOf.has(gap));
    if (charted !== undefined) choose(charted);
    else body.append(make("p", { class: "hint" }, "Their candles are not in this file: it carries those around the most serious gaps."));
    if (found.length < cell[GAPS]) {
      body.append(make("p", { class: "hint" }, `Listed are the ${NUMBER.format(found.length)} longest of ${NUMBER.format(cell[GAPS])}; lake gaps --instrument ${series.instrument}.${series.venue} lists all.`));
    }
  }
  title.focus({ preventScroll: true });
  panel.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function cellText(series, cell) {
  if (cell === null) return "Nothing was ever wanted of this series in this month.";
  const [expected, attention, explained, notExpected, gaps] = cell;
  const wanted = expected - notExpected;
  const unit = series.isCounted ? "candles" : "of the time";
  if (wanted === 0) return "Nothing is expected here: before the listing, after the end, or removed by retention.";
  if (attention + explained === 0) {
    return `Complete: ${series.isCounted ? `all ${NUMBER.format(wanted)} candles are held` : "all of the time is covered"}.`
      + (notExpected ? ` ${amount(series, notExpected)} more are not expected.` : "");
  }
  const held = `${percent(ratioOf(cell))} held: ${amount(series, wanted - attention - explained)} of ${amount(series, wanted)} ${series.isCounted ? unit : ""}`;
  return `${held.trim()}. Missing: ${amount(series, attention)} to act on, ${amount(series, explained)} explained, in ${plural(gaps, "gap")}.`;
}

/* The gaps that have a chart, the most serious first. */
function showWorst(data) {
  if (!data.charts.length) return;
  const section = document.getElementById("worst");
  const place = make("div");
  const choose = (gap) => {
    showChart(data, gap, place);
    place.scrollIntoView({ block: "nearest" });
  };
  const rows = data.charts.map(({ gap }) => [
    make("b", { class: "series" }, data.series[data.gaps.series[gap]].name), ...gapRow(data, gap, choose)]);
  const list = tableOf("Gaps with a chart", [text(""), ...GAP_COLUMNS], rows);
  section.append(place, list);
  section.hidden = false;
  showChart(data, data.charts[0].gap, place);
  shorten(list);
}

/* Leave the first few lines of a table, and a button for the others. */
function shorten(list) {
  const others = [...list.querySelectorAll("tbody tr")].slice(WORST_SHOWN);
  if (!others.length) return;
  const button = make("button", { type: "button", class: "more" }, `Show ${NUMBER.format(others.length)} more`);
  others.forEach((row) => { row.hidden = true; });
  button.addEventListener("click", () => {
    others.forEach((row) => { row.hidden = false; });
    others[0].querySelector("button").focus();
    button.remove();
  });
  list.after(button);
}

const WORST_SHOWN = 6;
