"""The page of the report in a real browser: what it shows, what clicks and keys do, what it must not do."""

import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.inspect import rank_units, report, trace
from fastrnn.train import Checkpoint

pytestmark = pytest.mark.usefixtures("browser")

TEXT = 'He said (not "so" loud):\n  "Go (home)."\nAnd he went.\n' * 6
# A text that would run, were it markup, and one that would turn the page around.
HOSTILE = (
    "</script><script>window.hacked=1</script> <img src=x onerror=window.hacked=2> <!-- \u202egnp.exe\u2066 "
    "\x1b[31m \x00 &lt; ${1} 'a' \"b\" "
)
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def model():
    vocabulary = fr.Vocabulary.from_text(TEXT)
    sizes = {"hidden_size": 6, "num_layers": 2}
    own = fr.LanguageModel(len(vocabulary), seed=3, **sizes)
    with own.parameters.edit() as parameters:
        for values in parameters.values():
            values *= 4  # so that units differ
    return Checkpoint(own, vocabulary, None, "")


@pytest.fixture(scope="module")
def seen(model):
    return trace(model, TEXT)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    report(model, TEXT, file, title="A model & its <text>")
    return file


class Watched:
    """A page of the browser, and everything that it asked for or complained about."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.messages, self.requests = [], []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: self.messages.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.locator("#text span").first.wait_for()
        self.path = path

    def close(self):
        self.context.close()
        assert self.messages == []
        assert self.requests == [self.path.as_uri()]


@pytest.fixture
def open_page(browser):
    opened = []

    def open_one(path, **options):
        opened.append(Watched(browser, path, **options))
        return opened[-1].page

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def page(open_page, path):
    return open_page(path)


def number(text):
    """Return the number at the start of a text, such as -0.12 of "−0.12 nats"."""
    return float(re.match(rf"[{MINUS}+]?\d+(\.\d+)?", text)[0].replace(MINUS, "-"))


def text_of(page, selector):
    return page.locator(selector).inner_text()


def choose(page, layer, name, unit):
    page.select_option("#layer", layer)
    page.locator(f"#traces input[value={name}]").check()
    page.fill("#unit", str(unit))
    page.press("#unit", "Enter")


def current(page):
    return int(page.locator("#text").get_attribute("aria-activedescendant")[1:])


def check_details(page, seen, t, layer, name, unit):
    """Compare what the page says of a symbol with the trace."""

    def shown(name):
        values = seen.signal(layer, name)[:, unit]  # rounded to a byte, then to two digits
        return pytest.approx(values[t], abs=float(max(1.0, np.abs(values).max())) / 254 + 0.0051)

    assert number(text_of(page, "#value")) == shown(name)
    assert number(text_of(page, "#symbol-loss")) == pytest.approx(seen.loss[t], abs=0.00051)
    likeliest = seen.top(10)
    for k, row in enumerate(page.locator("#next tr").all()[:10]):
        symbol, chance = row.locator("th").inner_text(), row.locator(".number").inner_text()
        assert symbol == {" ": "␣", "\n": "⏎"}.get(likeliest.symbols[t][k], likeliest.symbols[t][k])
        assert number(chance) == pytest.approx(100 * likeliest.probabilities[t][k], abs=0.51)
        assert ("✓" in chance) == (likeliest.symbols[t][k] == TEXT[t + 1])
    for row in page.locator("#gates tr").all():
        assert number(row.locator(".number").inner_text()) == shown(row.locator("th").inner_text())


def test_a_click_on_a_symbol_shows_its_numbers(page, seen, tmp_path):
    choose(page, "l1", "c", 2)
    page.click("#s71")
    assert page.locator("#s71").get_attribute("aria-selected") == "true"
    assert text_of(page, "#details .glyph b") == TEXT[71]
    line, column = TEXT[:72].count("\n") + 1, 71 - TEXT.rfind("\n", 0, 71)
    assert f"Line {line}, column {column}" in text_of(page, "#details")
    check_details(page, seen, 71, "l1", "c", 2)
    choose(page, "l0", "o", 5)
    check_details(page, seen, 71, "l0", "o", 5)
    page.hover("#s81")  # shows that one, until the pointer leaves
    check_details(page, seen, 81, "l0", "o", 5)
    page.hover("#title")
    check_details(page, seen, 71, "l0", "o", 5)
    page.screenshot(path=tmp_path / "light.png", full_page=True)


def test_the_text_is_coloured_by_a_unit_the_loss_or_a_property(page, seen):
    def amounts():
        return np.array(
            page.eval_on_selector_all(
                "#text span",
                "all => all.map(one => (one.classList.contains('below') ? -1 : 1)"
                " * Number(one.style.getPropertyValue('--amount')))",
            )
        )

    choose(page, "l1", "f", 3)
    assert (text_of(page, "#legend-low"), text_of(page, "#legend-high")) == ("0", "1")
    np.testing.assert_allclose(amounts(), 100 * seen.gates["l1"]["f"][:, 3], atol=0.71)
    choose(page, "l0", "h", 1)
    full = number(text_of(page, "#legend-high"))
    values = seen.states["l0"]["h"][:, 1]
    assert full == pytest.approx(np.quantile(np.abs(values), 0.99), abs=0.02)
    np.testing.assert_allclose(amounts(), 100 * np.clip(values / full, -1, 1), atol=2)
    page.locator("#sources input[value=loss]").check()
    top = number(text_of(page, "#legend-high"))
    wanted = 100 * np.clip(np.nan_to_num(seen.loss) / top, 0, 1)
    np.testing.assert_allclose(amounts(), wanted, atol=0.51)
    page.locator("#sources input[value=property]").check()
    page.select_option("#property", label="Inside quotes")
    np.testing.assert_array_equal(amounts(), 100 * fr.inspect.properties.inside_quotes(TEXT))


def test_units_are_ranked_searched_and_chosen(page, seen):
    page.select_option("#property", label="Position in the line")
    first = rank_units(seen, fr.inspect.properties.line_position, count=None)
    rows = page.locator("#ranking [role=option]").all()
    assert len(rows) == len(first) == 2 * 6 * 6
    for row, score in zip(rows[:12], first, strict=False):
        label, value = row.locator(".label").inner_text(), row.locator(".number").inner_text()
        assert label == f"{score.layer} · {score.name} {score.unit}"
        assert number(value) == pytest.approx(score.correlation, abs=0.0051)
    rows[3].click()
    assert text_of(page, "#trace-title") in text_of(page, "#legend-title")
    assert page.input_value("#unit") == str(first[3].unit)
    assert page.input_value("#layer") == first[3].layer
    page.press("#ranking", "ArrowDown")
    assert page.input_value("#unit") == str(first[4].unit)
    page.fill("#search", "forget 3")
    found = page.locator("#ranking .label").all_inner_texts()
    assert sorted(found) == ["l0 · f 3", "l1 · f 3"]
    page.fill("#search", "nothing")
    assert text_of(page, "#ranking-note") == "No unit fits the search."
    page.fill("#search", "")
    page.select_option("#scope", "trace")
    assert page.locator("#ranking [role=option]").count() == 6


def test_everything_can_be_reached_and_done_with_the_keyboard(page, seen):
    reached = []
    for _ in range(15):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
    order = [
        "theme", "layer", "trace", "unit-before", "unit", "unit-after", "ranking-heading", "property",
        "scope", "search", "ranking", "source", "text", "loss",
    ]  # fmt: skip
    assert [name for name in reached if name in order][: len(order)] == order
    page.focus("#text")
    for key, step in [
        ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", TEXT.index("\n")), ("Home", 0),
        ("ArrowDown", TEXT.index("\n") + 1), ("ArrowRight", TEXT.index("\n") + 2), ("ArrowUp", 1),
        ("Control+End", len(TEXT) - 1), ("ArrowRight", len(TEXT) - 1), ("Control+Home", 0),
        ("PageDown", None),
    ]:  # fmt: skip
        page.keyboard.press(key)
        assert step is None or current(page) == step, key
    assert TEXT[: current(page)].count("\n") == 10
    outline = page.evaluate("getComputedStyle(document.querySelector('#text')).outlineStyle")
    assert outline == "solid"
    before = int(page.input_value("#unit"))
    page.keyboard.press("]" if before < 5 else "[")
    assert abs(int(page.input_value("#unit")) - before) == 1
    page.focus("#unit")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.focus("#loss")
    at = current(page)
    page.keyboard.press("ArrowRight")
    assert current(page) == at + 1
    assert f"loss {seen.loss[at + 1]:.3f}" in page.locator("#loss").get_attribute("aria-valuetext")


def test_gradients_and_saturation_are_shown_in_numbers_too(page, seen):
    page.click("#gradients-card summary")
    rows = page.locator("#gradients-table tbody tr").all_inner_texts()
    assert [int(row.split()[0]) for row in rows] == list(range(101))
    assert page.locator("#gradients path").count() == 2
    assert page.locator("#gradients svg").get_attribute("role") == "img"
    shares = {row.split()[1]: row for row in page.locator("#saturation tbody tr").all_inner_texts()}
    gate = seen.gates["l1"]["o"]
    low, high = (number(part) for part in re.findall(r"[\d.]+ %", shares["o"]))
    assert low == pytest.approx(100 * np.mean(gate < 0.1), abs=0.51)
    assert high == pytest.approx(100 * np.mean(gate > 0.9), abs=0.51)


def luminance(colour):
    parts = [float(part) for part in re.findall(r"[\d.]+(?:e-?\d+)?", colour.removeprefix("color(srgb"))][:3]
    scale = 1 if colour.startswith("color(srgb") else 255
    linear = [
        (p / scale / 12.92) if p / scale <= 0.04045 else ((p / scale + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


FULL = """() => {
    const text = document.querySelector("#text"), span = text.firstElementChild, found = [];
    span.style.setProperty("--amount", 100);
    for (const kind of ["diverging", "diverging below", "sequence", "loss"]) {
        text.className = `text ${kind.split(" ")[0]}`;
        span.classList.toggle("below", kind.endsWith("below"));
        const style = getComputedStyle(span);
        found.push([style.color, style.backgroundColor]);
    }
    for (const one of document.querySelectorAll(".muted, .button, h2, dt, dd, kbd, .kicker, .number")) {
        const style = getComputedStyle(one);
        let around = one;
        while (getComputedStyle(around).backgroundColor === "rgba(0, 0, 0, 0)") around = around.parentElement;
        found.push([style.color, getComputedStyle(around).backgroundColor]);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_enough_contrast_and_a_button_changes_them(scheme, open_page, path, tmp_path):
    page = open_page(path, color_scheme=scheme)
    body = "getComputedStyle(document.body).backgroundColor"
    assert (luminance(page.evaluate(body)) < 0.2) == (scheme == "dark")
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    for shown, dark in (("light", False), ("dark", True), ("system", scheme == "dark")):
        page.click("#theme")
        assert text_of(page, "#theme") == f"Theme: {shown}"
        assert (luminance(page.evaluate(body)) < 0.2) == dark
    pairs = page.evaluate(FULL)
    assert len(pairs) > 40
    assert min(contrast(*pair) for pair in pairs) >= 4.5


def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_page, path, seen, tmp_path):
    page = open_page(path, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.tap("#s40")
    assert number(text_of(page, "#symbol-loss")) == pytest.approx(seen.loss[40], abs=0.00051)
    line, column = TEXT[:40].count("\n") + 1, 40 - TEXT.rfind("\n", 0, 40)
    assert f"line {line}, column {column}" in text_of(page, "#brief")
    page.click("#finder summary")
    page.click("#gradients-card summary")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    outside = page.eval_on_selector_all(
        "button, select, input[type=search], #unit, h2, figure, .ranking, table.bars",
        "all => all.filter(one => one.getBoundingClientRect().right > 360).map(one => one.id || one.tagName)",
    )
    assert outside == []
    page.screenshot(path=tmp_path / "phone.png", full_page=True)


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_hostile_text_is_shown_and_never_runs(level, open_page, tmp_path):
    options = {"tokenizer": "whitespace"} if level == "word" else {}
    vocabulary = fr.Vocabulary.from_text(HOSTILE, level=level, **options)
    own = fr.LanguageModel(len(vocabulary), hidden_size=3, num_layers=1, seed=0)
    report(own, HOSTILE * 2, tmp_path / "a.html", vocabulary=vocabulary, title=HOSTILE)
    page = open_page(tmp_path / "a.html")
    text = text_of(page, "#text").replace("\n", "")
    assert "<script>window.hacked=1</script>" in text
    assert "⟨U+202E⟩gnp.exe⟨U+2066⟩" in text
    assert "␛[31m" in text
    assert not set("\u202e\u2066\x1b\x00") & set(page.content())
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    for t in range(0, 20, 5):
        page.click(f"#s{t}")
    assert page.evaluate("window.hacked") is None
    assert text_of(page, "#title").startswith("</script><script>")


def test_a_model_that_predicts_nothing_has_a_page_without_losses(open_page, tmp_path):
    own = fr.models.SequenceClassifier(hidden_size=4, cell="gru", epochs=1, random_state=0)
    report(own.fit(["abab", "bbaa"] * 4, [0, 1] * 4), "abba" * 5, tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    page.click("#s4")
    assert page.locator("#traces input").evaluate_all("all => all.map(one => one.value)") == [
        "r",
        "z",
        "n",
        "hn",
        "h",
    ]
    assert page.locator("#loss, #next, #symbol-loss, #gradients").locator("visible=true").count() == 0
    assert page.locator("#value").count() == 1
