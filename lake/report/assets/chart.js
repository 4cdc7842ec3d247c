/* Draws the candles around a gap, with the gap as a band, by lightweight-charts. */

const drawn = new Map();

/* Put the chart of *gap* into *place*, instead of the one that was there. */
function showChart(data, gap, place) {
  clearChart(place);
  const figure = chartFigure(data, gap);
  place.replaceChildren(figure);
  drawn.set(place, draw(figure.querySelector(".canvas"), data.chartOf.get(gap)));
}

function clearChart(place) {
  if (drawn.has(place)) drawn.get(place).remove();
  drawn.delete(place);
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function chartFigure(data, gap) {
  const chart = data.chartOf.get(gap);
  const series = data.series[data.gaps.series[gap]];
  const missing = data.gaps.missing[gap];
  const step = missing > chart.band.length ? ` One step of the band stands for ${plural(Math.round(missing / chart.band.length), "candle")}.` : "";
  const sides = chart.candles.filter((each) => each[0] < data.gaps.start[gap]).length;
  const said = `${series.name}: ${plural(sides, "candle")} before the gap from ${timeText(data.gaps.start[gap])} `
    + `to ${timeText(data.gaps.end[gap])} and ${NUMBER.format(chart.candles.length - sides)} after it.${step}`;
  const place = make("div", { class: "canvas", role: "img", "aria-label": `Candle chart. ${said}` });
  const rows = make("details", {}, make("summary", {}, "These candles as a table"), make("div"));
  const figure = make("figure", { class: "chart" }, place, make("figcaption", {}, said), rows);
  onceOpened(rows, () => tableOf("Candles around the gap",
    [text("opens"), number("open"), number("high"), number("low"), number("close"), number("volume")],
    chart.candles.map(([at, ...values]) => [timeText(at), ...values.map(String)])));
  return figure;
}

/* Colours of a chart are not CSS: they are set again when the page turns dark or light, or to paper. */
function draw(place, chart) {
  const library = LightweightCharts;
  const made = library.createChart(place, {
    autoSize: true,
    layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 },
    timeScale: { timeVisible: true, minBarSpacing: 0.5, lockVisibleTimeRangeOnResize: true },
    crosshair: { mode: 0 },
    handleScroll: { vertTouchDrag: false },
    localization: { locale: "en", timeFormatter: timeText },
  });
  let gone = false;
  const digits = precisionOf(chart.candles);
  const candles = made.addSeries(library.CandlestickSeries, {
    priceLineVisible: false, lastValueVisible: false,
    priceFormat: { type: "price", precision: digits, minMove: 1 / 10 ** digits },
  });
  const volume = made.addSeries(library.HistogramSeries, {
    priceScaleId: "volume", priceLineVisible: false, lastValueVisible: false, priceFormat: { type: "volume" },
  });
  const band = made.addSeries(library.HistogramSeries, {
    priceScaleId: "band", priceLineVisible: false, lastValueVisible: false,
    autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }),
  });
  made.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
  made.priceScale("band").applyOptions({ scaleMargins: { top: 0, bottom: 0 } });

  const blanks = chart.band.map((time) => ({ time }));
  const bars = chart.candles.map(([time, open, high, low, close]) => ({ time, open, high, low, close }));
  candles.setData([...bars, ...blanks].sort((one, other) => one.time - other.time));

  function paint() {
    const [up, down, line, muted] = ["--up", "--down", "--line", "--muted"].map(colour);
    made.applyOptions({
      layout: { background: { color: "transparent" }, textColor: muted },
      grid: { vertLines: { visible: false }, horzLines: { color: line } },
      timeScale: { borderColor: line }, rightPriceScale: { borderColor: line },
    });
    candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false });
    volume.setData(chart.candles.map(([time, , , , , value]) => ({ time, value, color: colour("--volume") })));
    band.setData(chart.band.map((time) => ({ time, value: 1, color: colour("--band") })));
  }

  paint();
  // Its width is known one frame after the next.
  requestAnimationFrame(() => requestAnimationFrame(() => { if (!gone) made.timeScale().fitContent(); }));
  const media = [matchMedia("(prefers-color-scheme: dark)"), matchMedia("print")];
  media.forEach((each) => each.addEventListener("change", paint));
  return { remove() { gone = true; media.forEach((each) => each.removeEventListener("change", paint)); made.remove(); } };
}

/* As many decimals as the prices have, so that a coin of 0.00001234 is not drawn as 0.00. */
function precisionOf(candles) {
  const decimals = candles.map((each) => {
    const [digits, exponent] = String(each[4]).split("e-");
    return Math.min(12, (digits.split(".")[1] || "").length + Number(exponent || 0));
  });
  return Math.max(2, ...decimals);
}
