// Plots, drawn as SVG by hand: lines along the text, and gradient norms against lag.

/** Return an element with attributes and children; a text child is text, never markup. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Return the path of points [x, y]; one with a y that is no number starts a new piece. */
function path(points) {
  let pen = "M";
  let text = "";
  for (const [x, y] of points) {
    if (!Number.isFinite(y)) {
      pen = "M";
      continue;
    }
    text += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return text;
}

/** Return the mean over a window centred on each step; steps without a number do not count. */
function smoothed(values, width) {
  const half = Math.floor(width / 2);
  const sums = [0];
  const counts = [0];
  values.forEach((value, t) => {
    const known = Number.isFinite(value);
    sums.push(sums[t] + (known ? value : 0));
    counts.push(counts[t] + (known ? 1 : 0));
  });
  return Array.from(values, (_, t) => {
    const first = Math.max(0, t - half);
    const last = Math.min(values.length, t + half + 1);
    return (sums[last] - sums[first]) / (counts[last] - counts[first]);
  });
}

/** A plot of values along the text; a click moves the cursor. */
class StripChart {
  /** `lines` are {values, kind}; `onPick` gets the step that was clicked. */
  constructor(box, onPick) {
    this.box = box;
    this.lines = [];
    this.steps = 1;
    this.left = 44;
    new ResizeObserver(() => this.draw()).observe(box);
    box.addEventListener("pointerdown", (event) => onPick(this.stepAt(event.clientX)));
    box.addEventListener("pointermove", (event) => {
      if (event.buttons) onPick(this.stepAt(event.clientX));
    });
  }

  show(lines, low, high, digits) {
    this.lines = lines;
    this.steps = lines[0].values.length;
    Object.assign(this, { low, high, digits });
    this.draw();
  }

  x(t) {
    return this.left + ((t + 0.5) / this.steps) * (this.width - this.left - 4);
  }

  y(value) {
    return 6 + ((this.high - value) / (this.high - this.low)) * (this.height - 12);
  }

  stepAt(clientX) {
    const place =
      (clientX - this.box.getBoundingClientRect().left - this.left) / (this.width - this.left - 4);
    return Math.min(this.steps - 1, Math.max(0, Math.floor(place * this.steps)));
  }

  draw() {
    [this.width, this.height] = [this.box.clientWidth, this.box.clientHeight];
    if (!this.lines.length || !this.width) return;
    const marks = this.low < 0 ? [this.high, 0, this.low] : [this.high, this.low];
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: this.height });
    this.box.replaceChildren(
      svg(
        "svg",
        { "aria-hidden": "true" },
        ...marks.flatMap((value) => this.mark(value)),
        ...this.lines.map(({ values, kind }) =>
          svg("path", { class: kind, d: path(Array.from(values, (value, t) => [this.x(t), this.y(value)])) }),
        ),
        this.cursor,
      ),
    );
    this.moveCursor(this.at ?? 0);
  }

  mark(value) {
    const y = this.y(value);
    const label = value === 0 ? "0" : value < 0 ? signed(value, this.digits) : value.toFixed(this.digits);
    return [
      svg("line", { class: "grid", x1: this.left, x2: this.width - 4, y1: y, y2: y }),
      svg("text", { x: this.left - 6, y: y + 4, "text-anchor": "end" }, label),
    ];
  }

  moveCursor(t) {
    this.at = t;
    if (!this.cursor) return;
    this.cursor.setAttribute("x1", this.x(t));
    this.cursor.setAttribute("x2", this.x(t));
  }
}

/** Return 10 to an integer as text, such as 10⁻³. */
function powerOfTen(exponent) {
  const digits = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  return `10${Array.from(String(exponent), (digit) => digits[digit]).join("")}`;
}

/** A plot of positive numbers against lag, on a logarithmic scale; one line for each layer. */
class DecayChart {
  constructor(box, { lags, layers }) {
    Object.assign(this, { box, lags, layers });
    this.right = 16 + 8 * Math.max(...layers.map(({ title }) => title.length));
    const positive = layers.flatMap(({ norms }) => norms).filter((norm) => norm > 0);
    this.low = Math.floor(Math.log10(Math.min(...positive)));
    this.high = Math.ceil(Math.log10(Math.max(...positive)));
    if (this.low === this.high) this.low -= 1;
    new ResizeObserver(() => this.draw()).observe(box);
  }

  x(lag) {
    return 48 + (lag / (this.lags[this.lags.length - 1] || 1)) * (this.width - 48 - this.right);
  }

  y(norm) {
    if (!(norm > 0)) return Number.NaN;
    return 10 + ((this.high - Math.log10(norm)) / (this.high - this.low)) * (this.height - 52);
  }

  draw() {
    [this.width, this.height] = [this.box.clientWidth, this.box.clientHeight];
    if (!this.width) return;
    const label = `Gradient norm against lag, from ${powerOfTen(this.low)} to ${powerOfTen(this.high)}`;
    this.box.replaceChildren(
      svg(
        "svg",
        { role: "img", "aria-label": label },
        ...this.horizontalMarks(),
        ...this.verticalMarks(),
        ...this.layers.map(({ norms }, number) =>
          svg("path", {
            class: `line s${number % 4}`,
            d: path(this.lags.map((lag, k) => [this.x(lag), this.y(norms[k])])),
          }),
        ),
        ...this.names(),
      ),
    );
  }

  horizontalMarks() {
    const step = Math.max(1, Math.ceil((this.high - this.low) / 6));
    const exponents = [];
    for (let exponent = this.high; exponent >= this.low; exponent -= step) exponents.push(exponent);
    return exponents.flatMap((exponent) => {
      const y = this.y(10 ** exponent);
      return [
        svg("line", { class: "grid", x1: 48, x2: this.width - this.right, y1: y, y2: y }),
        svg("text", { x: 42, y: y + 4, "text-anchor": "end" }, powerOfTen(exponent)),
      ];
    });
  }

  verticalMarks() {
    const last = this.lags[this.lags.length - 1];
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((size) => last / size <= 6) ?? 1000;
    const marks = this.lags.filter((lag) => lag % step === 0);
    const bottom = this.height - 24;
    return [
      ...marks.map((lag) => svg("text", { x: this.x(lag), y: bottom, "text-anchor": "middle" }, String(lag))),
      svg(
        "text",
        { x: (this.x(0) + this.x(last)) / 2, y: bottom + 18, "text-anchor": "middle" },
        "lag, in steps",
      ),
    ];
  }

  /** Return the names at the ends of the lines, kept apart. */
  names() {
    const ends = this.layers.map(({ title, norms }) => {
      const last = norms.findLastIndex((norm) => norm > 0);
      return { title, x: this.x(this.lags[last]) + 8, y: this.y(norms[last]) + 4 };
    });
    ends.sort((one, other) => one.y - other.y);
    ends.forEach((end, k) => {
      if (k) end.y = Math.max(end.y, ends[k - 1].y + 15);
    });
    return ends.map(({ title, x, y }) => svg("text", { class: "name", x, y }, title));
  }
}

/** Return a table of the same numbers. */
function decayTable({ lags, layers }) {
  const head = make(
    "tr",
    {},
    ...["lag", ...layers.map(({ title }) => title)].map((text) => make("th", { scope: "col" }, text)),
  );
  const rows = lags.map((lag, k) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, String(lag)),
      ...layers.map(({ norms }) => make("td", {}, norms[k].toExponential(2))),
    ),
  );
  return make("table", { class: "values" }, make("thead", {}, head), make("tbody", {}, ...rows));
}
