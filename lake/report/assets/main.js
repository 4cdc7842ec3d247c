/* Starts the page: reads the data, fills what needs a script, listens to the tools above the map. */

const ORDERS = {
  name: (one, other) => one.number - other.number,
  ratio: (one, other) => (one.ratio ?? 2) - (other.ratio ?? 2) || one.number - other.number,
  attention: (one, other) => other.totals[ATTENTION] - one.totals[ATTENTION] || one.number - other.number,
  size: (one, other) => other.bytes - one.bytes || one.number - other.number,
};

function listenToTools(data, map) {
  const [find, order, only, count] = ["find", "order", "only", "count"].map((id) => document.getElementById(id));
  function narrow() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const left = data.series.filter((each) => (!only.checked || each.totals[ATTENTION] > 0)
      && words.every((word) => each.words.includes(word)));
    left.sort(ORDERS[order.value]);
    map.show(left);
    count.textContent = left.length === data.series.length ? `${plural(left.length, "series", "series")}`
      : `${NUMBER.format(left.length)} of ${NUMBER.format(data.series.length)} series`;
  }
  find.addEventListener("input", narrow);
  order.addEventListener("change", narrow);
  only.addEventListener("change", narrow);
  narrow();
}

async function start() {
  const data = await readData();
  document.getElementById("unscripted").hidden = true;
  showViolations(data);
  showSeriesTable(data);
  if (data.cells.months === 0) {
    document.getElementById("map").append(make("p", { class: "empty" }, "Nothing was ever asked for, so nothing is missing."));
    return;
  }
  document.getElementById("heatmap").hidden = false;
  const map = new HeatMap(data, (series, month, leave) => showCell(data, series, month, leave));
  listenToTools(data, map);
  showMapTable(data);
  showWorst(data);
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  // An old browser cannot unpack the data; the tables below need no script.
  const note = make("p", { class: "empty", role: "alert" }, `The map cannot be drawn in this browser: ${error.message}. The tables below show without it.`);
  document.getElementById("map").append(note);
});
