/* Tables that are made when they are looked at: a thousand series take a moment. */

function tableOf(caption, columns, rows) {
  // The roles stay where a narrow screen shows each row as a block.
  const head = make("tr", { role: "row" }, ...columns.map((each) =>
    make("th", { scope: "col", role: "columnheader", class: each.number ? "number" : "" }, each.name)));
  const body = make("tbody");
  for (const row of rows) {
    body.append(make("tr", { role: "row" }, ...columns.map((each, place) => make("td", {
      role: "cell", class: each.number ? "number" : each.class || "", "data-name": each.name || null,
    }, row[place]))));
  }
  const table = make("table", { role: "table" }, make("caption", {}, caption), make("thead", {}, head), body);
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}

const text = (name) => ({ name });
const number = (name) => ({ name, number: true });

/* Fill *details* with what *build* gives, when it is opened for the first time. */
function onceOpened(details, build) {
  details.hidden = false;
  details.addEventListener("toggle", () => {
    const place = details.querySelector("div");
    if (details.open && !place.hasChildNodes()) place.append(build());
  });
}

function showSeriesTable(data) {
  onceOpened(document.getElementById("each-series"), () => tableOf(
    "Storage by series",
    [text("series"), text("first"), text("last"), number("rows"), number("files"), number("size"),
      number("bytes per row"), number("as CSV"), number("saved")],
    [...data.series].sort((one, other) => other.bytes - one.bytes).map((each) => [
      each.name, timeText(each.first), timeText(each.last), NUMBER.format(each.rows),
      NUMBER.format(each.files), sizeText(each.bytes), each.rows ? (each.bytes / each.rows).toFixed(2) : "–",
      each.csv ? sizeText(each.csv) : "–", each.csv ? percent(1 - each.bytes / each.csv) : "–",
    ])));
}

/* What the map shows by colour, as words and numbers: one line a month that is not complete. */
function showMapTable(data) {
  onceOpened(document.getElementById("as-table"), () => {
    const lines = [];
    for (const series of data.series) {
      lines.push([series.name, "all", percent(series.ratio), ...counts(series, series.totals), ""]);
      for (let month = 0; month < data.cells.months; month += 1) {
        const cell = cellOf(series, month);
        const kind = kindOf(cell);
        if (cell === null || kind === "full" || lines.length >= TABLE_MOST) continue;
        lines.push([series.name, monthText(data.cells.first + month), percent(ratioOf(cell)),
          ...counts(series, cell), KIND_TEXT[kind]]);
      }
    }
    const table = tableOf(
      "Every series, and its months that are not complete",
      [text("series"), text("month"), number("held"), number("to act on"), number("explained"),
        number("not expected"), text("")],
      lines);
    if (lines.length < TABLE_MOST) return table;
    return make("div", {}, table, make("p", {}, "Further months are left out: the map has them."));
  });
}

const TABLE_MOST = 5000;

function counts(series, cell) {
  return [cell[ATTENTION], cell[EXPLAINED], cell[NOT_EXPECTED]].map((each) => amount(series, each));
}

/* So many candles; of other types, so much time, which is counted in minutes. */
function amount(series, count) {
  return series.isCounted || count === 0 ? NUMBER.format(count) : spanText(count * 60);
}

function showViolations(data) {
  for (const details of document.querySelectorAll("details.check")) {
    const place = details.querySelector(".violations");
    if (!place) continue;
    details.addEventListener("toggle", () => {
      if (!details.open || place.hasChildNodes()) return;
      const rows = data.violations[place.dataset.run] || [];
      if (rows.length) place.append(violationTable(details.querySelector(".name").textContent, rows));
      const all = Number(place.dataset.of);
      if (rows.length < all) {
        place.append(make("p", {}, `Listed are the first ${NUMBER.format(rows.length)} of ${NUMBER.format(all)}.`));
      }
    });
  }
}

function violationTable(name, rows) {
  return tableOf(
    `What ${name} found`,
    [text(""), text("series"), text("from"), text("to"), number("rows"), { name: "what", class: "said" }],
    rows.map(([severity, type, venue, instrument, timeframe, start, end, count, detail]) => [
      severity, [instrument && venue ? `${instrument}.${venue}` : venue, timeframe || type].filter(Boolean).join(" "),
      timeText(start), timeText(end), count === null ? "–" : NUMBER.format(count), detail,
    ]));
}
