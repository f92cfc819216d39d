// What the report holds: arrays unpacked from base64, and the numbers that the page asks for.

/** Return the numbers of a base64 string, as a typed array; little-endian, as every browser's are. */
function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Kind(bytes.buffer);
}

/** Return a number with its sign, a minus being as wide as a plus. */
function signed(value, digits = 2) {
  return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits);
}

function percent(share) {
  if (share === 0) return "0 %";
  if (share >= 0.9995) return share === 1 ? "100 %" : "> 99.9 %";
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** One gate or state of one layer: its units' values at each step, rounded to a byte. */
class TraceValues {
  constructor(packed, steps) {
    Object.assign(this, packed);
    this.steps = steps;
    this.signed = packed.kind === "diverging";
    this.scale = unpack(packed.scale, Float32Array);
    this.fulls = new Map();
    this.ranked = unpack(packed.ranked, Float32Array);
    this.correlations = unpack(packed.correlations, Float32Array);
  }

  /** Return the bytes, unpacked on first use. */
  get bytes() {
    this._bytes ??= unpack(this.values, this.signed ? Int8Array : Uint8Array);
    return this._bytes;
  }

  /** Return the value of the unit in place `row` after step t. */
  at(row, t) {
    return this.bytes[row * this.steps + t] * this.scale[row];
  }

  /** Return the same as text, with its sign where values may be negative. */
  text(row, t) {
    const value = this.at(row, t);
    return this.signed ? signed(value) : value.toFixed(2);
  }

  /**
   * Return the value at which the colour is full: 1 for a gate in 0 .. 1; else a size that 1 % of the unit's
   * values exceed.
   */
  full(row) {
    if (!this.signed && this.bounded) return 1;
    if (!this.fulls.has(row)) {
      const sizes = this.bytes
        .slice(row * this.steps, (row + 1) * this.steps)
        .map(Math.abs)
        .sort();
      this.fulls.set(row, sizes[Math.floor(0.99 * (this.steps - 1))] * this.scale[row]);
    }
    return this.fulls.get(row);
  }

  /** Return the largest value that a unit can show. */
  top(row) {
    return (this.signed ? 127 : 255) * this.scale[row];
  }

  /** Return the place of a unit, or -1 if the report leaves it out. */
  rowOf(unit) {
    return this.units.indexOf(unit);
  }

  get label() {
    return `${this.layer} ${this.name}`;
  }
}

/** All data of a report. */
class ReportData {
  constructor(packed) {
    Object.assign(this, packed);
    this.ids = unpack(packed.ids, Uint32Array);
    this.steps = this.ids.length;
    this.losses = packed.losses && unpack(packed.losses, Float32Array);
    this.topIds = packed.top && unpack(packed.top.ids, Uint32Array);
    this.topProbabilities = packed.top && unpack(packed.top.probabilities, Float32Array);
    this.traces = packed.traces.map((trace) => new TraceValues(trace, this.steps));
    this.properties = packed.properties.map((property) => ({
      ...property,
      values: unpack(property.values, Float32Array),
    }));
    this.lineEnds = new Set(packed.lineEnds);
    this.places = this.placesInLines();
  }

  /** Return line and column of each step, both from 1. */
  placesInLines() {
    let line = 1;
    let column = 0;
    return Array.from(this.ids, (_, t) => {
      column += 1;
      const place = { line, column };
      if (this.lineEnds.has(t)) [line, column] = [line + 1, 0];
      return place;
    });
  }

  symbolAt(t) {
    return this.symbols[this.ids[t]];
  }

  /** Return the likeliest symbols after step t, with their probabilities. */
  nextAt(t) {
    const { count } = this.top;
    return Array.from({ length: count }, (_, k) => ({
      id: this.topIds[t * count + k],
      probability: this.topProbabilities[t * count + k],
    }));
  }

  /**
   * Return every unit of some traces with its correlation with a property. They are ranked by the first half
   * of the text; the correlation is that in the second half, which had no say.
   */
  ranked(traces, property) {
    const found = traces.flatMap((trace) =>
      trace.units.map((unit, row) => {
        const place = property * trace.units.length + row;
        return { trace, unit, rank: Math.abs(trace.ranked[place]), correlation: trace.correlations[place] };
      }),
    );
    return found.sort((one, other) => other.rank - one.rank);
  }
}
