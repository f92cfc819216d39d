// The details of one symbol: the unit's value, the loss, all gates of the unit, the likeliest next symbols.

// Steps shown before a symbol, and after it.
const AROUND = 10;

class DetailsPanel {
  constructor(data, box, brief) {
    Object.assign(this, { data, box, brief });
  }

  show(t, trace, unit, property) {
    const { data } = this;
    const symbol = data.symbolAt(t);
    const { line, column } = data.places[t];
    const value = trace.text(trace.rowOf(unit), t);
    const loss = data.losses ? ` \u00b7 loss ${lossText(data.losses[t])}` : "";
    this.brief.replaceChildren(
      make("b", {}, symbol.name),
      ` line ${line}, column ${column} \u00b7 ${unitName(data, trace, unit)} = ${value}${loss}`,
    );
    this.box.replaceChildren(
      make("div", {}, this.heading(symbol, t), this.numbers(t, trace, unit, property)),
      make(
        "div",
        {},
        make("h3", {}, `Unit ${unit} at this step`),
        this.gates(t, trace, unit),
        make("h3", { "aria-hidden": "true" }, "and around it"),
        this.around(t, trace, unit),
      ),
      ...(data.top ? [make("div", {}, make("h3", {}, "Likeliest next"), this.next(t))] : []),
    );
  }

  heading(symbol, t) {
    const { line, column } = this.data.places[t];
    return make(
      "div",
      { class: "glyph" },
      make("b", { class: symbol.name.length > 3 ? "long" : "" }, make("bdi", {}, symbol.name)),
      make(
        "p",
        {},
        `Line ${line}, column ${column}`,
        make("br"),
        make(
          "span",
          { class: "muted" },
          `${this.data.unitOfText} ${t + 1} of ${this.data.steps.toLocaleString("en")}`,
        ),
      ),
    );
  }

  numbers(t, trace, unit, property) {
    const { data } = this;
    const chosen = data.properties[property];
    const pairs = [[unitName(data, trace, unit), trace.text(trace.rowOf(unit), t), "value"]];
    if (data.losses) {
      const loss = data.losses[t];
      pairs.push(["Loss", lossText(loss), "symbol-loss"]);
      pairs.push([
        "Probability",
        Number.isFinite(loss) ? percent(Math.exp(-loss)) : "not predicted",
        "probability",
      ]);
    }
    if (chosen) pairs.push([chosen.title, plainNumber(chosen.values[t]), "property-value"]);
    return make(
      "dl",
      { class: "pairs" },
      ...pairs.flatMap(([name, text, id]) => [make("dt", {}, name), make("dd", { id }, text)]),
    );
  }

  /** Return all gates and states of the unit. */
  signalsOf(trace, unit) {
    return this.data.traces.filter(({ layer, units }) => layer === trace.layer && units.includes(unit));
  }

  /** Return the values of all gates and states of the same unit. */
  gates(t, trace, unit) {
    const rows = this.signalsOf(trace, unit).map((each) => {
      const row = each.rowOf(unit);
      const value = each.at(row, t);
      const bar = valueBar(value, each.top(row), each.signed);
      return barRow(each.name, bar, each.text(row, t), each === trace ? "chosen" : "");
    });
    return make("table", { class: "bars", id: "gates" }, make("tbody", {}, ...rows));
  }

  /** Return the colours of the same at the steps around; their values are those of a click there. */
  around(t, trace, unit) {
    const { data } = this;
    const first = Math.max(0, Math.min(t - AROUND, data.steps - 2 * AROUND - 1));
    const steps = Array.from({ length: Math.min(data.steps, 2 * AROUND + 1) }, (_, k) => first + k);
    const line = (kind, name, cells) => make("div", { class: kind }, make("span", {}, name), ...cells);
    const symbols = steps.map((step) => make("span", {}, data.words ? "" : data.symbolAt(step).shown));
    const rows = this.signalsOf(trace, unit).map((each) => {
      const row = each.rowOf(unit);
      const full = each.full(row) || 1;
      return line(
        each.kind,
        each.name,
        steps.map((step) => tintedCell(each.at(row, step) / full, step === t)),
      );
    });
    return make("div", { class: "around", "aria-hidden": "true" }, line("", "", symbols), ...rows);
  }

  next(t) {
    const { data } = this;
    const truth = t + 1 < data.steps ? data.ids[t + 1] : -1;
    const likeliest = data.nextAt(t);
    const rows = likeliest.map(({ id, probability }) =>
      nextRow(data.symbols[id].name, probability, id === truth),
    );
    if (truth >= 0 && !likeliest.some(({ id }) => id === truth)) {
      rows.push(nextRow(data.symbols[truth].name, Math.exp(-data.losses[t + 1]), true));
    }
    return make("table", { class: "bars", id: "next" }, make("tbody", {}, ...rows));
  }
}

/** Return a cell with the colour of an amount in -1 .. 1. */
function tintedCell(amount, here) {
  const kinds = ["cell", amount < 0 ? "below" : "", here ? "here" : ""];
  const cell = make("span", { class: kinds.filter(Boolean).join(" ") });
  cell.style.setProperty("--amount", Math.round(100 * Math.min(1, Math.abs(amount))));
  return cell;
}

function nextRow(name, probability, isTrue) {
  const bar = make("span", { class: "meter", "aria-hidden": "true" }, make("i"));
  bar.firstChild.style.setProperty("--size", `${100 * probability}%`);
  return barRow(name, bar, `${percent(probability)}${isTrue ? " \u2713" : ""}`, isTrue ? "true" : "");
}

/** Return a bar from zero to a value, zero being in the middle where values may be negative. */
function valueBar(value, top, isSigned) {
  const share = Math.min(1, Math.abs(value) / (top || 1));
  const size = isSigned ? share / 2 : share;
  const from = isSigned ? (value < 0 ? 0.5 - size : 0.5) : 0;
  const bar = make("i");
  bar.style.setProperty("--from", `${100 * from}%`);
  bar.style.setProperty("--size", `${100 * size}%`);
  return make(
    "div",
    { class: `meter ${isSigned ? (value < 0 ? "minus" : "plus") : ""}`, "aria-hidden": "true" },
    bar,
  );
}

function barRow(name, bar, text, kind) {
  bar.style.setProperty("display", "block");
  return make(
    "tr",
    { class: kind },
    make("th", { scope: "row", class: "sign" }, make("bdi", {}, name)),
    make("td", {}, bar),
    make("td", { class: "number" }, text),
  );
}

function unitName(data, trace, unit) {
  const several = data.traces.some(({ layer }) => layer !== trace.layer);
  return several ? `${trace.layer}, ${trace.name} ${unit}` : `${trace.name} ${unit}`;
}

function lossText(loss) {
  return Number.isFinite(loss) ? `${loss.toFixed(3)} nats` : "\u2013";
}

function plainNumber(value) {
  if (!Number.isFinite(value)) return "\u2013";
  return Number.isInteger(value) ? String(value) : value.toFixed(3);
}
