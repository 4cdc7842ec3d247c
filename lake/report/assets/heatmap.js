/* The map: a row a series, a column a month. Only the rows in sight are in the document, so a thousand
   series scroll as well as one. It is a grid to assistive technology: one cell takes the focus, arrow
   keys move it, Enter opens it. */

const SPARE_ROWS = 12;

class HeatMap {
  constructor(data, open) {
    this.data = data;
    this.open = open;
    this.grid = document.getElementById("grid");
    this.frame = this.grid.parentElement;
    this.shown = data.series;
    this.at = { row: 0, month: data.cells.months - 1 };
    this.chosen = null;
    this.rows = new Map();
    this.head = make("div", { class: "row head", role: "row", "aria-rowindex": "1" });
    this.body = make("div", { class: "body", role: "rowgroup" });
    this.years = make("div", { class: "row years", "aria-hidden": "true" });
    this.grid.append(make("div", { role: "rowgroup", class: "top" }, this.years, this.head), this.body);
    this.frame.addEventListener("scroll", () => this.render(), { passive: true });
    this.grid.addEventListener("click", (event) => this.clicked(event));
    this.grid.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.measure()).observe(this.frame);
    addEventListener("beforeprint", () => { this.printing = true; this.render(); });
    addEventListener("afterprint", () => { this.printing = false; this.render(); });
    this.measure();
    this.frame.scrollLeft = this.frame.scrollWidth;
  }

  show(series) {
    this.shown = series;
    this.at.row = 0;
    this.frame.scrollTop = 0;
    this.rebuild();
  }

  /* Cells fill the width where the months are few, and keep a size that a finger hits where not. */
  measure() {
    const isCoarse = matchMedia("(pointer: coarse), (max-width: 600px)").matches;
    const label = isCoarse ? 124 : 284;
    const least = isCoarse ? 24 : 13;
    const room = this.frame.clientWidth - label - 2;
    const width = Math.max(least, Math.min(44, Math.floor(room / this.data.cells.months)));
    const key = `${isCoarse} ${width}`;
    if (key !== this.key) {
      this.key = key;
      this.rowHeight = isCoarse ? 34 : 24;
      this.width = width;
      this.label = label;
      this.grid.style.setProperty("--cell", `${width}px`);
      this.grid.style.setProperty("--label", `${label}px`);
      this.grid.style.setProperty("--row", `${this.rowHeight}px`);
      this.rebuild();
    } else this.render();
  }

  rebuild() {
    const { first, months } = this.data.cells;
    this.grid.setAttribute("aria-rowcount", this.shown.length + 1);
    this.grid.setAttribute("aria-colcount", months + 1);
    this.grid.style.setProperty("--width", `${this.label + this.width * months}px`);
    this.body.style.setProperty("--height", `${this.shown.length * this.rowHeight}px`);
    this.head.replaceChildren(make("div", { class: "label", role: "columnheader", "aria-colindex": "1" }, "Series"));
    for (let month = 0; month < months; month += 1) this.head.append(this.monthHead(first + month, month));
    this.years.replaceChildren(...this.yearHeads());
    this.body.replaceChildren();
    this.rows.clear();
    this.render();
  }

  monthHead(index, place) {
    const name = this.width >= 26 ? MONTHS[index % 12] : MONTHS[index % 12][0];
    return make("div", {
      class: index % 12 === 0 && place ? "month-head year-start" : "month-head", role: "columnheader",
      "aria-colindex": place + 2, "aria-label": monthText(index),
    }, make("span", { "aria-hidden": "true" }, name));
  }

  /* The years above the months. A year's name stays in sight as long as one of its months is. */
  yearHeads() {
    const { first, months } = this.data.cells;
    const heads = [make("div", { class: "label" })];
    for (let place = 0; place < months;) {
      const count = Math.min(12 - ((first + place) % 12), months - place);
      const name = count * this.width >= 34 ? String(Math.floor((first + place) / 12)) : "";
      const head = make("div", { class: place ? "year year-start" : "year" }, make("span", {}, name));
      head.style.setProperty("width", `${count * this.width}px`);
      heads.push(head);
      place += count;
    }
    return heads;
  }

  render() {
    const top = this.printing ? 0 : Math.floor(this.frame.scrollTop / this.rowHeight) - SPARE_ROWS;
    const count = this.printing ? this.shown.length : Math.ceil(this.frame.clientHeight / this.rowHeight) + 2 * SPARE_ROWS;
    const from = Math.max(0, top);
    const until = Math.min(this.shown.length, Math.max(0, top) + count);
    for (const [place, row] of this.rows) {
      if ((place < from || place >= until) && place !== this.at.row) { row.remove(); this.rows.delete(place); }
    }
    const more = document.createDocumentFragment();
    const wanted = new Set([this.at.row]);
    for (let place = from; place < until; place += 1) wanted.add(place);
    for (const place of wanted) {
      if (place < this.shown.length && !this.rows.has(place)) more.append(this.makeRow(place));
    }
    this.body.append(more);
  }

  makeRow(place) {
    const series = this.shown[place];
    const row = make("div", { class: "row", role: "row", "aria-rowindex": place + 2 });
    row.style.top = `${place * this.rowHeight}px`;
    row.append(make("div", { class: "label", role: "rowheader", "aria-colindex": "1", title: series.name },
      make("span", { class: "who" }, series.instrument),
      make("span", { class: "where" }, `${series.venue} `, make("b", {}, series.what)),
      make("span", { class: "ratio" }, percent(series.ratio))));
    for (let month = 0; month < this.data.cells.months; month += 1) row.append(this.makeCell(series, place, month));
    this.rows.set(place, row);
    return row;
  }

  makeCell(series, place, month) {
    const cell = cellOf(series, month);
    const kind = kindOf(cell);
    const index = this.data.cells.first + month;
    const said = cell === null || kind === "out" || kind === "full" ? KIND_TEXT[kind]
      : `${KIND_TEXT[kind]}, ${percent(ratioOf(cell))} held, ${plural(cell[GAPS], "gap")}`;
    const isAt = place === this.at.row && month === this.at.month;
    const isChosen = this.chosen && this.chosen.series === series && this.chosen.month === month;
    const element = make("div", {
      class: `c ${kind}${isChosen ? " chosen" : ""}${index % 12 === 0 && month ? " year-start" : ""}`, role: "gridcell", tabindex: isAt ? "0" : "-1",
      "aria-colindex": month + 2, "aria-label": `${series.name} ${monthText(index)}: ${said}`,
      title: `${series.name}\n${monthText(index)}: ${said}`,
      "aria-selected": isChosen ? "true" : null,
    });
    element.dataset.row = place;
    element.dataset.month = month;
    return element;
  }

  cellAt(row, month) {
    const found = this.rows.get(row);
    return found ? found.children[month + 1] : null;
  }

  clicked(event) {
    const cell = event.target.closest(".c");
    if (cell && cell.dataset.row !== undefined) this.choose(Number(cell.dataset.row), Number(cell.dataset.month));
  }

  choose(row, month) {
    this.move(row, month);
    const old = this.grid.querySelector(".chosen");
    if (old) { old.classList.remove("chosen"); old.removeAttribute("aria-selected"); }
    const cell = this.cellAt(row, month);
    cell.classList.add("chosen");
    cell.setAttribute("aria-selected", "true");
    this.chosen = { series: this.shown[row], month };
    this.open(this.shown[row], month, () => this.focus());
  }

  pressed(event) {
    const last = this.data.cells.months - 1;
    const page = Math.max(1, Math.floor(this.frame.clientHeight / this.rowHeight) - 2);
    const { row, month } = this.at;
    const moves = {
      ArrowLeft: [row, month - 1], ArrowRight: [row, month + 1], ArrowUp: [row - 1, month], ArrowDown: [row + 1, month],
      Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? this.shown.length - 1 : row, last],
      PageUp: [row - page, month], PageDown: [row + page, month],
    };
    if (event.key === "Enter" || event.key === " ") this.choose(row, month);
    else if (moves[event.key]) {
      const [toRow, toMonth] = moves[event.key];
      this.move(Math.max(0, Math.min(this.shown.length - 1, toRow)), Math.max(0, Math.min(last, toMonth)));
      this.focus();
    } else return;
    event.preventDefault();
  }

  move(row, month) {
    const old = this.cellAt(this.at.row, this.at.month);
    if (old) old.tabIndex = -1;
    this.at = { row, month };
    this.render();
    const cell = this.cellAt(row, month);
    if (cell) cell.tabIndex = 0;
  }

  /* Focus the current cell and bring it from under the head and the names. */
  focus() {
    const { row, month } = this.at;
    const frame = this.frame;
    const top = row * this.rowHeight;
    const room = frame.clientHeight - this.head.parentElement.offsetHeight - this.rowHeight;
    if (top < frame.scrollTop) frame.scrollTop = top;
    if (top > frame.scrollTop + room) frame.scrollTop = top - room;
    const left = month * this.width;
    const space = frame.clientWidth - this.label - this.width;
    if (left < frame.scrollLeft) frame.scrollLeft = left;
    if (left > frame.scrollLeft + space) frame.scrollLeft = left - space;
    this.render();
    const cell = this.cellAt(row, month);
    if (cell) cell.focus({ preventScroll: true });
  }
}
