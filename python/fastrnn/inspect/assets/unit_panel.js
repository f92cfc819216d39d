// The choice of a unit: its layer, its gate or state, its number, and the list of units by what they track.

const MOST_ROWS = 200;

class UnitPanel {
  /** `onChoose` gets the trace and the unit, `onProperty` the number of the property. */
  constructor(data, { onChoose, onProperty }) {
    Object.assign(this, { data, onChoose, onProperty, rows: [] });
    this.parts = Object.fromEntries(
      [
        "layer",
        "layer-field",
        "traces",
        "trace-title",
        "unit",
        "unit-count",
        "unit-before",
        "unit-after",
        "property",
        "scope",
        "search",
        "ranking",
        "ranking-note",
      ].map((id) => [id, document.getElementById(id)]),
    );
    this.layers = [...new Set(data.traces.map(({ layer }) => layer))];
    this.fill();
    this.listen();
  }

  fill() {
    document.getElementById("finder").open = window.matchMedia("(min-width: 720px)").matches;
    const { layer, property } = this.parts;
    layer.append(...this.layers.map((name) => make("option", { value: name }, name)));
    this.parts["layer-field"].hidden = this.layers.length < 2;
    property.append(
      ...this.data.properties.map(({ title }, number) => make("option", { value: number }, title)),
    );
  }

  listen() {
    const { layer, unit, property, scope, search, ranking } = this.parts;
    layer.addEventListener("change", () => this.choose(this.alike(layer.value), this.unit));
    unit.addEventListener("change", () => this.typed());
    unit.addEventListener("keydown", (event) => this.stepped(event));
    this.parts["unit-before"].addEventListener("click", () => this.step(-1));
    this.parts["unit-after"].addEventListener("click", () => this.step(1));
    property.addEventListener("change", () => this.onProperty(Number(property.value)));
    scope.addEventListener("change", () => this.list());
    search.addEventListener("input", () => this.list());
    ranking.addEventListener("click", (event) => this.clicked(event));
    ranking.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** Return the gate of the same name in another layer, or that layer's first. */
  alike(layer) {
    const own = this.data.traces.filter((trace) => trace.layer === layer);
    return own.find(({ name }) => name === this.trace.name) ?? own[0];
  }

  /** Choose a unit; if the report leaves it out, the nearest that it has. */
  choose(trace, unit) {
    const near = trace.units.reduce((best, each) =>
      Math.abs(each - unit) < Math.abs(best - unit) ? each : best,
    );
    this.onChoose(trace, near);
  }

  typed() {
    const number = Number.parseInt(this.parts.unit.value, 10);
    this.choose(this.trace, Number.isFinite(number) ? number : this.unit);
  }

  stepped(event) {
    const moves = { ArrowUp: 1, ArrowDown: -1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.step(moves[event.key]);
  }

  /** Choose the next unit of the gate, or the one before. */
  step(by) {
    const { units } = this.trace;
    const row = Math.min(units.length - 1, Math.max(0, this.trace.rowOf(this.unit) + by));
    this.onChoose(this.trace, units[row]);
  }

  show(trace, unit, property) {
    const changed = this.trace !== trace;
    const sorted =
      this.property === property && (!changed || this.parts.scope.value === "all") && this.rows.length;
    Object.assign(this, { trace, unit, property });
    if (changed) this.showTraces();
    this.showUnit();
    if (sorted) this.markRow();
    else this.list();
  }

  showTraces() {
    const { trace } = this;
    this.parts.layer.value = trace.layer;
    const own = this.data.traces.filter(({ layer }) => layer === trace.layer);
    segments(
      this.parts.traces,
      "trace",
      own.map((each) => [each.name, each.title]),
      trace.name,
      (name) =>
        this.choose(
          own.find((each) => each.name === name),
          this.unit,
        ),
    );
    this.parts["trace-title"].textContent = trace.title;
  }

  showUnit() {
    const { unit } = this.parts;
    const { units, width } = this.trace;
    unit.value = this.unit;
    unit.setAttribute("aria-valuenow", this.unit);
    unit.setAttribute("aria-valuemin", units[0]);
    unit.setAttribute("aria-valuemax", units[units.length - 1]);
    this.parts["unit-count"].textContent =
      units.length === width
        ? `0 to ${width - 1}`
        : `${units.length} of ${width}: those that track a property best`;
  }

  /** List the units that fit the search, the strongest correlation first. */
  list() {
    const { scope, search, ranking } = this.parts;
    const among = {
      all: () => true,
      layer: ({ layer }) => layer === this.trace.layer,
      trace: (trace) => trace === this.trace,
    }[scope.value];
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.data
      .ranked(this.data.traces.filter(among), this.property)
      .filter(({ trace, unit }) => fits(words, trace, unit));
    this.rows = found.slice(0, MOST_ROWS);
    ranking.replaceChildren(...this.rows.map((row, k) => this.row(row, k)));
    ranking.scrollTop = 0;
    this.parts["ranking-note"].textContent = countNote(this.rows.length, found.length);
    this.markRow();
  }

  row({ trace, unit, correlation }, number) {
    const name =
      this.layers.length > 1 ? `${trace.layer} \u00b7 ${trace.name} ${unit}` : `${trace.name} ${unit}`;
    const known = Number.isFinite(correlation);
    const bar = make("i");
    bar.style.setProperty("--size", `${known ? 100 * Math.abs(correlation) : 0}%`);
    return make(
      "div",
      { class: "rank", role: "option", id: `r${number}`, "aria-selected": "false" },
      make("span", { class: "label" }, name),
      make("span", { class: `meter ${correlation < 0 ? "minus" : "plus"}`, "aria-hidden": "true" }, bar),
      make("span", { class: "number" }, known ? signed(correlation) : "\u2013"),
    );
  }

  /** Return the place in the list of the unit that is shown, or -1. */
  get rowNumber() {
    return this.rows.findIndex(({ trace, unit }) => trace === this.trace && unit === this.unit);
  }

  markRow() {
    const { ranking } = this.parts;
    const number = this.rowNumber;
    for (const old of ranking.querySelectorAll("[aria-selected=true]"))
      old.setAttribute("aria-selected", "false");
    ranking.removeAttribute("aria-activedescendant");
    if (number < 0) return;
    const row = ranking.children[number];
    row.setAttribute("aria-selected", "true");
    ranking.setAttribute("aria-activedescendant", row.id);
    const [top, bottom] = [
      row.offsetTop - ranking.offsetTop,
      row.offsetTop - ranking.offsetTop + row.offsetHeight,
    ];
    if (top < ranking.scrollTop) ranking.scrollTop = top;
    else if (bottom > ranking.scrollTop + ranking.clientHeight)
      ranking.scrollTop = bottom - ranking.clientHeight;
  }

  clicked(event) {
    const row = event.target.closest("[role=option]");
    if (row) this.chooseRow(Number(row.id.slice(1)));
  }

  pressed(event) {
    const here = this.rowNumber;
    const last = this.rows.length - 1;
    const targets = {
      ArrowDown: here + 1,
      ArrowUp: here - 1,
      PageDown: here + 8,
      PageUp: here - 8,
      Home: 0,
      End: last,
    };
    if (!(event.key in targets) || last < 0) return;
    event.preventDefault();
    this.chooseRow(Math.min(last, Math.max(0, targets[event.key])));
  }

  chooseRow(number) {
    const { trace, unit } = this.rows[number];
    this.onChoose(trace, unit);
  }
}

/** Return whether each word of a search begins a word of a unit's name; a number is the whole number. */
function fits(words, trace, unit) {
  const names = `${trace.layer} ${trace.name} ${trace.title} unit ${unit}`.toLowerCase().split(/\s+/);
  return words.every((word) =>
    names.some((name) => (/^\d+$/.test(word) ? name === word : name.startsWith(word))),
  );
}

function countNote(shown, found) {
  if (!found) return "No unit fits the search.";
  const list =
    shown === found
      ? `${found} found.`
      : `The first ${shown} of ${found.toLocaleString("en")}; search for others.`;
  return `${list} Ranked by the first half of the text; the correlation is that in the second.`;
}

/** Fill a box with radio buttons: `choices` are [value, title]. */
function segments(box, group, choices, chosen, onChoose) {
  const focused = box.contains(document.activeElement);
  box.replaceChildren(
    ...choices.map(([value, title]) => {
      const input = make("input", { type: "radio", name: group, value, "aria-label": title, title });
      input.checked = value === chosen;
      input.addEventListener("change", () => onChoose(value));
      return make("label", {}, input, make("span", {}, value));
    }),
  );
  if (focused) box.querySelector("input:checked").focus();
}
