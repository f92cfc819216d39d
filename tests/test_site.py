"""The documentation site: its pages, before Sphinx builds them.

None of these needs Sphinx: they hold what a build without warnings does not say, and say it in seconds.
"""

import ast
import importlib
import re
import sys
from inspect import isclass, ismodule
from pathlib import Path

import pytest

import fastrnn

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAMES = ("api_pages", "check_built", "command_pages", "docstrings", "gallery_pages", "repository_text")
TOCTREE = re.compile(r"^(?:```\{toctree\}|\.\. toctree::)\n((?:.*\n)*?)(?:```|\Z)", re.MULTILINE)


@pytest.fixture(scope="module")
def site():
    """The modules that write the site's pages, by name."""
    sys.path.insert(0, str(DOCS / "_site"))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(DOCS / "_site"))


@pytest.fixture(scope="module")
def pages(site):
    """The text of every page, those that are written at a build included, by name without ending."""
    written = ("api", "commands", "gallery", "_site")
    files = [path for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] not in written]
    kept = {path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text("utf-8") for path in files}
    return (
        kept
        | site["api_pages"].api_pages()
        | site["command_pages"].command_pages()
        | site["gallery_pages"].gallery_pages()
    )


def listed(pages):
    """Return the pages that the tables of contents list, as a list."""
    found = []
    for name, text in pages.items():
        folder = name.rpartition("/")[0]
        for block in TOCTREE.findall(text):
            lines = [line.strip() for line in block.splitlines()]
            targets = [re.sub(r".*<(.*)>$", r"\1", line) for line in lines if line and line[0] != ":"]
            found += [f"{folder}/{target}" if folder else target for target in targets]
    return found


def test_every_page_is_in_one_table_of_contents(pages):
    assert sorted(listed(pages)) == sorted(pages.keys() - {"index"})


def public_objects():
    """Return every public object of every public module that needs nothing but fastrnn."""
    found, todo = {}, [fastrnn]
    while todo:
        module = todo.pop()
        for name in module.__all__:
            value = getattr(module, name)
            if ismodule(value):
                todo.append(value)
            elif name != "__version__":
                found.setdefault(id(value), set()).add(f"{module.__name__}.{name}")
    return list(found.values())


def test_every_public_name_has_one_page(site):
    rooms = site["api_pages"].entries()
    paths = [entry.path for members in rooms.values() for entry in members]
    missing = [sorted(names) for names in public_objects() if sum(path in names for path in paths) != 1]
    assert missing == [], "a module that lists names belongs into ROOMS of docs/_site/api_pages.py"
    assert len(paths) == len(public_objects()) > 200


def test_no_two_pages_differ_in_upper_case_alone(pages):
    assert len({name.lower() for name in pages}) == len(pages)


def test_a_class_has_its_call_and_inherited_methods(site, pages):
    kinds = {"class": isclass, "function": callable}
    for members in site["api_pages"].entries().values():
        for entry in members:
            module, _, name = entry.path.rpartition(".")
            value = getattr(importlib.import_module(module), name)
            assert kinds.get(entry.kind, lambda _: True)(value)
            assert f".. auto{entry.kind}:: {name}\n" in pages[f"api/{entry.page}"]
            assert (":special-members: __call__" in pages[f"api/{entry.page}"]) == isclass(value)


def test_every_command_has_a_page_with_its_help(pages):
    commands = [name.removeprefix("commands/") for name in pages if name.startswith("commands/")]
    assert {"index", "train", "fit", "sample", "inspect", "convert"} <= set(commands)
    assert "Usage: fastrnn train [OPTIONS]" in pages["commands/train"]
    assert "## fastrnn fit classify\n" in pages["commands/fit"]


def test_every_example_has_a_page_with_its_docstring_and_code(site, pages):
    gallery = site["gallery_pages"]
    assert len(gallery.scripts()) >= 20
    for script in gallery.scripts():
        docstring = ast.get_docstring(ast.parse(script.read_text("utf-8")))
        text = pages[f"gallery/{script.stem}"]
        assert docstring.splitlines()[0] in text
        assert f"{{literalinclude}} ../../{script.relative_to(DOCS.parent).as_posix()}\n" in text


def test_every_picture_of_the_gallery_exists_and_says_what_is_seen(site):
    gallery = site["gallery_pages"]
    assert set(gallery.SHOWN) <= {script.stem for script in gallery.scripts()}
    for shown in gallery.SHOWN.values():
        assert (gallery.IMAGES / shown.picture).is_file()
        assert len(shown.seen) > 30


def test_the_command_below_a_picture_of_the_gallery_writes_it(site):
    gallery = site["gallery_pages"]
    for shown in gallery.SHOWN.values():
        script, *arguments = shown.command.split()[1:]
        text = (DOCS.parent / script).read_text("utf-8")
        if "import compare" in text:
            text += (gallery.EXAMPLES / "long_term" / "compare.py").read_text("utf-8")
        assert all(f'"{one}"' in text for one in arguments if one.startswith("--")), shown.command
        written = Path(arguments[-1])
        if "--lengths" in arguments:  # a picture for each length
            written = written.with_stem(f"{written.stem}-{arguments[arguments.index('--lengths') + 1]}")
        assert written.name == shown.picture


@pytest.mark.parametrize("part", ["introduction", "sections"])
def test_the_start_page_takes_over_the_readme(site, part):
    text = site["repository_text"].page_text("index", f"<!-- README.md: {part} -->")
    assert ("## Install" in text) == (part == "sections")
    assert ("trains and runs recurrent neural networks" in text) == (part == "introduction")
    assert not re.search(r"\]\(docs/", text)


def test_every_image_in_the_pages_says_what_is_seen(site, pages):
    for name, text in pages.items():
        images = re.findall(r"!\[([^\]]*)\]\(", site["repository_text"].page_text(name, text))
        assert all(len(seen) > 10 for seen in images), name


@pytest.mark.parametrize(
    ("target", "page"),
    [
        ("../CONTRIBUTING.md#levels", "/project/contributing.md#levels"),
        ("layers.md", "/layers.md"),
        ("../examples", "/gallery/index.md"),
        ("../examples/names.py", "/gallery/names.md"),
        ("../cpp/c/fastrnn.h", "../cpp/c/fastrnn.h"),
        ("images/unit.png", "images/unit.png"),
        ("../tests/data/notes.md", "path:../tests/data/notes.md"),
        ("../cpp/kernels", None),
        ("#here", "#here"),
        ("https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_leads_to_the_page_that_shows_its_file(site, target, page):
    text = f"[a link]({target})"
    expected = f"[a link]({page})" if page else "a link"
    assert site["repository_text"].page_text("layers", text) == expected
    fenced = f"```\n{text}\n```"
    assert site["repository_text"].page_text("layers", fenced) == fenced


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x : [L*directions, N]", r"x : [L\*directions, N]"),
        ("``a*b`` and `c_`", "``a*b`` and `c_`"),
        ("classes_, weight_ih", r"classes\_, weight_ih"),
        ("    H.", r"    \H."),
        ("1. A list", "1. A list"),
        (">>> a * b", ">>> a * b"),
    ],
)
def test_what_is_no_markup_in_a_docstring_is_escaped(site, line, expected):
    assert site["docstrings"].escaped([line]) == [expected]


def test_code_in_a_docstring_stays_as_it_is(site):
    lines = ["The cell::", "", "    c = f * c'", "", "where * is a product."]
    assert site["docstrings"].escaped(lines) == [*lines[:-1], r"where \* is a product."]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<h1>A</h1><a href="b.html#there"></a><img src="c.png" alt="A line">', ""),
        ('<h1>A</h1><a href="nowhere.html"></a>', "a broken link: nowhere.html"),
        ('<h1>A</h1><a href="b.html#here"></a>', "a broken link: b.html#here"),
        ('<h1>A</h1><img src="c.png">', "an image without a text: c.png"),
        ("<h1>A</h1><h3>B</h3>", "a heading of level 3 follows one of level 1"),
        ("<h1>A</h1><pre>&lt;Figure size 810x460&gt;</pre>", "a figure that is not drawn"),
        ("<h2>A</h2>", "0 headings of the first level"),
    ],
)
def test_the_check_of_the_built_site_finds_faults(site, tmp_path, body, fault):
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1>')
    (tmp_path / "c.png").touch()
    assert site["check_built"].faults(tmp_path) == ([f"a.html: {fault}"] if fault else [])


def test_a_folder_without_pages_is_a_fault(site, tmp_path):
    assert site["check_built"].faults(tmp_path) == [f"no pages in {tmp_path}"]
