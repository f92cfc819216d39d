// The text: its symbols, their colours, and the cursor on them.

class TextPanel {
  /** `on.point` gets the step under the pointer or null, `on.pick` the step that was chosen. */
  constructor(box, data, on) {
    Object.assign(this, { box, data, on, current: 0, pinned: 0 });
    this.spans = Array.from(data.ids, (id, t) => this.span(data.symbols[id], t));
    box.append(...this.spans);
    box.addEventListener("pointerover", (event) => this.pointed(event));
    box.addEventListener("pointerleave", () => on.point(null));
    box.addEventListener("click", (event) => this.clicked(event));
    box.addEventListener("keydown", (event) => this.pressed(event));
  }

  span(symbol, t) {
    const kinds = [symbol.mark ? "mark" : "", this.data.words ? "word" : ""].join(" ").trim();
    const text = symbol.shown + (this.data.lineEnds.has(t) ? "\n" : "");
    const span = make("span", { role: "option", id: `s${t}`, class: kinds, "aria-selected": "false" }, text);
    if (!symbol.shown.trim()) span.setAttribute("aria-label", "space");
    return span;
  }

  stepOf(target) {
    return target instanceof Element && target.parentElement === this.box ? Number(target.id.slice(1)) : null;
  }

  pointed(event) {
    if (event.pointerType === "mouse") this.on.point(this.stepOf(event.target));
  }

  clicked(event) {
    const t = this.stepOf(event.target);
    if (t !== null) this.on.pick(t);
  }

  /** Colour every symbol: `amount(t)` is in -1 .. 1, or not a number where there is nothing to show. */
  colour(kind, amount) {
    this.box.classList.remove("diverging", "sequence", "loss");
    this.box.classList.add(kind);
    this.spans.forEach((span, t) => {
      const value = amount(t);
      span.style.setProperty(
        "--amount",
        Number.isFinite(value) ? Math.round(100 * Math.min(1, Math.abs(value))) : 0,
      );
      span.classList.toggle("below", value < 0);
    });
  }

  /** Mark the symbol whose details are shown, and the one that was chosen. */
  mark(current, pinned) {
    this.spans[this.current].classList.remove("current");
    this.spans[this.pinned].classList.remove("pinned");
    this.spans[this.pinned].setAttribute("aria-selected", "false");
    [this.current, this.pinned] = [current, pinned];
    this.spans[current].classList.add("current");
    this.spans[pinned].classList.add("pinned");
    this.spans[pinned].setAttribute("aria-selected", "true");
    this.box.setAttribute("aria-activedescendant", `s${pinned}`);
  }

  /** Scroll the box, not the page, so that a symbol can be seen. */
  reveal(t) {
    const [own, frame] = [this.spans[t].getBoundingClientRect(), this.box.getBoundingClientRect()];
    if (own.top < frame.top + 8) this.box.scrollTop -= frame.top + 40 - own.top;
    else if (own.bottom > frame.bottom - 8) this.box.scrollTop += own.bottom - frame.bottom + 40;
  }

  pressed(event) {
    if (event.altKey || event.metaKey) return;
    const t = this.target(event.key, event.ctrlKey);
    if (t === null) return;
    event.preventDefault();
    this.on.pick(Math.min(this.spans.length - 1, Math.max(0, t)));
  }

  /** Return the step that a key leads to, or null. */
  target(key, control) {
    const here = this.pinned;
    switch (key) {
      case "ArrowLeft":
        return here - 1;
      case "ArrowRight":
        return here + 1;
      case "ArrowUp":
        return this.otherLine(here, -1);
      case "ArrowDown":
        return this.otherLine(here, 1);
      case "PageUp":
        return this.otherLine(here, -10);
      case "PageDown":
        return this.otherLine(here, 10);
      case "Home":
        return control ? 0 : this.endOfLine(here, -1);
      case "End":
        return control ? this.spans.length - 1 : this.endOfLine(here, 1);
      default:
        return null;
    }
  }

  place(t) {
    return this.spans[t].getClientRects()[0];
  }

  /** Return the last step on the same line as seen, going left (-1) or right (1). */
  endOfLine(t, direction) {
    const { top } = this.place(t);
    let end = t;
    while (this.spans[end + direction] && Math.abs(this.place(end + direction).top - top) < 4)
      end += direction;
    return end;
  }

  /** Return the step some lines away that lies nearest below or above. */
  otherLine(t, lines) {
    const direction = Math.sign(lines);
    const { left } = this.place(t);
    let start = t;
    for (let k = 0; k !== lines; k += direction) {
      const next = this.endOfLine(start, direction) + direction;
      if (!this.spans[next]) break;
      start = next;
    }
    const [first, last] = [this.endOfLine(start, -1), this.endOfLine(start, 1)];
    let best = first;
    for (let k = first; k <= last; k += 1) {
      if (Math.abs(this.place(k).left - left) < Math.abs(this.place(best).left - left)) best = k;
    }
    return best;
  }
}
