// The page: what is chosen, and what is drawn when the choice changes.

const element = (id) => document.getElementById(id);

/** The page and its choice: a trace, a unit, a property, what colours the text, and the symbol. */
class Page {
  constructor(data) {
    this.data = data;
    const { trace, unit, property } = data.start;
    this.choice = { trace: data.traces[trace], unit, property, source: "unit", pinned: 0, pointed: null };
    const pick = (t) => this.pick(t);
    this.text = new TextPanel(element("text"), data, { point: (t) => this.change({ pointed: t }), pick });
    this.units = new UnitPanel(data, {
      onChoose: (chosen, number) => this.change({ trace: chosen, unit: number }),
      onProperty: (number) => this.change({ property: number }),
    });
    this.details = new DetailsPanel(data, element("details"), element("brief"));
    this.activation = new StripChart(element("activation"), pick);
    this.loss = new StripChart(element("loss"), pick);
    this.showLoss();
    this.listen();
    this.drawAll();
  }

  listen() {
    element("text").addEventListener("keydown", (event) => {
      const moves = { "[": -1, "]": 1 };
      if (event.key in moves) this.units.step(moves[event.key]);
    });
    element("loss").addEventListener("keydown", (event) => this.text.pressed(event));
  }

  pick(t) {
    this.change({ pinned: t, pointed: null });
    this.text.reveal(t);
  }

  /** Change the choice, and draw what depends on what has changed. */
  change(given) {
    const changed = Object.keys(given).filter((name) => given[name] !== this.choice[name]);
    if (!changed.length) return;
    Object.assign(this.choice, given);
    if (changed.some((name) => name !== "pinned" && name !== "pointed")) this.drawAll();
    else this.drawSymbol();
  }

  drawAll() {
    const { trace, unit, property } = this.choice;
    this.units.show(trace, unit, property);
    this.showSources();
    this.colour();
    this.showActivation();
    this.drawSymbol();
  }

  drawSymbol() {
    const { trace, unit, property, pinned, pointed } = this.choice;
    const t = pointed ?? pinned;
    this.text.mark(t, pinned);
    this.details.show(t, trace, unit, property);
    this.activation.moveCursor(t);
    this.loss.moveCursor(t);
    this.describePosition(t);
  }

  describePosition(t) {
    if (!this.data.losses) return;
    const slider = element("loss");
    slider.setAttribute("aria-valuenow", t + 1);
    slider.setAttribute(
      "aria-valuetext",
      `${t + 1} of ${this.data.steps}, loss ${lossText(this.data.losses[t])}`,
    );
  }

  showSources() {
    const choices = [["unit", "the chosen unit"]];
    if (this.data.losses) choices.push(["loss", "the loss of each symbol"]);
    if (this.data.properties.length) choices.push(["property", "the chosen property"]);
    segments(element("sources"), "source", choices, this.choice.source, (source) => this.change({ source }));
  }

  /** Colour the text and set the legend. */
  colour() {
    const { kind, title, low, high, amount } = this.colours();
    this.text.colour(kind, amount);
    element("legend-title").textContent = title;
    element("legend-low").textContent = low;
    element("legend-high").textContent = high;
    element("ramp").className = `ramp ${kind}`;
  }

  /** Return how the chosen source colours the text: kind, title, both ends of the scale, amount of a step. */
  colours() {
    if (this.choice.source === "loss") return this.lossColours();
    return this.choice.source === "property" ? this.propertyColours() : this.unitColours();
  }

  unitColours() {
    const { trace, unit } = this.choice;
    const row = trace.rowOf(unit);
    const top = trace.full(row) || 1;
    const digits = top === 1 ? 0 : 2;
    return {
      kind: trace.signed ? "diverging" : "sequence",
      title: `${unitName(this.data, trace, unit)}: ${trace.title} at each symbol`,
      low: trace.signed ? signed(-top, digits) : "0",
      high: trace.signed ? signed(top, digits) : top.toFixed(digits),
      amount: (t) => trace.at(row, t) / top,
    };
  }

  lossColours() {
    const { losses, lossTop } = this.data;
    return {
      kind: "loss",
      title: "Loss of each symbol",
      low: "0",
      high: `${lossTop.toFixed(1)} nats or more`,
      amount: (t) => losses[t] / lossTop,
    };
  }

  propertyColours() {
    const { title, values } = this.data.properties[this.choice.property];
    const [low, high] = range(values);
    return {
      kind: "sequence",
      title,
      low: plainNumber(low),
      high: plainNumber(high),
      amount: (t) => (values[t] - low) / (high - low || 1),
    };
  }

  showActivation() {
    const { trace, unit } = this.choice;
    const row = trace.rowOf(unit);
    const values = Float32Array.from({ length: trace.steps }, (_, t) => trace.at(row, t));
    const top = trace.top(row) || 1;
    element("activation-title").textContent = `${unitName(this.data, trace, unit)} along the text`;
    this.activation.show([{ values, kind: "line unit" }], trace.signed ? -top : 0, top, top >= 10 ? 0 : 1);
  }

  showLoss() {
    element("loss-figure").hidden = !this.data.losses;
    if (!this.data.losses) return;
    const { losses, lossTop } = this.data;
    const lines = [
      { values: losses, kind: "thin" },
      { values: smoothed(losses, 51), kind: "line loss" },
    ];
    const [, high] = range(losses);
    this.loss.show(lines, 0, Math.max(high, lossTop), 1);
    const slider = element("loss");
    slider.setAttribute("aria-valuemin", 1);
    slider.setAttribute("aria-valuemax", losses.length);
  }
}

/** Return the lowest and the highest of the numbers. */
function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

function fillFacts({ subtitle, facts, rounding }) {
  element("subtitle").textContent = subtitle;
  element("rounding").textContent = rounding;
  element("facts").append(
    ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

function fillGradients({ gradients }) {
  element("gradients-card").hidden = !gradients;
  if (!gradients) return;
  element("gradients-note").textContent = gradients.note;
  for (const part of ["gradients", "gradients-details"]) element(part).hidden = !gradients.layers.length;
  if (!gradients.layers.length) return;
  element("gradients-table").append(decayTable(gradients));
  new DecayChart(element("gradients"), gradients);
}

/** Show the share of saturated values of each gate and state: low at the left, high at the right. */
function fillSaturation({ saturation }) {
  element("saturation-note").textContent = saturation.note;
  const head = ["", "low", "", "high"].map((text, k) =>
    text ? make("th", { scope: "col", class: k === 3 ? "number" : "" }, text) : make("td"),
  );
  const rows = saturation.rows.map(({ label, low, high }) => {
    const bar = make(
      "div",
      { class: "share", "aria-hidden": "true" },
      make("i", { class: "low" }),
      make("i", { class: "high" }),
    );
    bar.firstChild.style.setProperty("--size", `${100 * low}%`);
    bar.lastChild.style.setProperty("--size", `${100 * high}%`);
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, label),
      make("td", {}, low === null ? "\u2013" : percent(low)),
      make("td", { class: "bar" }, bar),
      make("td", { class: "number" }, high === null ? "\u2013" : percent(high)),
    );
  });
  element("saturation").append(
    make(
      "table",
      { class: "shares" },
      make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, ...rows),
    ),
  );
}

/** Let the button go through the themes: the system's, light, dark. */
function listenToTheme(button) {
  const themes = ["system", "light", "dark"];
  let number = 0;
  button.addEventListener("click", () => {
    number = (number + 1) % themes.length;
    if (number) document.documentElement.dataset.theme = themes[number];
    else delete document.documentElement.dataset.theme;
    button.textContent = `Theme: ${themes[number]}`;
  });
}

const packed = JSON.parse(element("data").textContent);
fillFacts(packed);
fillGradients(packed);
fillSaturation(packed);
listenToTheme(element("theme"));
new Page(new ReportData(packed));
