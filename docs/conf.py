"""The documentation site.

``sphinx-build -W --keep-going -b html docs build/docs`` builds it; ``pip install ".[docs]"`` brings what it
needs. It needs no network. fastrnn is the one that Python imports: the installed one, or the source tree that
PYTHONPATH names.

- Pages are Markdown (MyST) and read on GitHub too. Links are written as GitHub reads them.
- A tutorial, ``docs/tutorials/NAME.md``, is a notebook: its front matter says ``file_format: mystnb``, its
  cells are ```` ```{code-cell} ````. All cells run while the site is built, each notebook in a process and an
  empty folder of its own; results are kept in ``build/notebooks``, and run again when the code changes. A
  cell that raises is a warning, so that the build fails and names each of them.
- ``api/``, ``gallery/`` and ``commands/`` are written here at each build, by the modules in ``_site``.
"""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_site"))

from site_hooks import connect  # noqa: E402  # it lies in the folder above

from fastrnn import __version__  # noqa: E402

project = "fastrnn"
author = "the fastrnn authors"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_site"]
suppress_warnings: list[str] = []
default_role = "py:obj"  # `LSTM` in a docstring: a link where there is such a name

myst_heading_anchors = 4  # the same as GitHub's
myst_enable_extensions = ["colon_fence", "deflist"]
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS.parent / "build" / "notebooks")
nb_execution_in_temp = True
nb_execution_show_tb = True  # a cell that raises is a warning, with its traceback
nb_execution_timeout = 120
nb_merge_streams = True

autodoc_typehints = "none"  # the tables of parameters say the types
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autosummary_generate = False
numpydoc_show_class_members = False  # autodoc lists them
numpydoc_xref_param_type = False

templates_path: list[str] = []
html_theme = "furo"
html_title = "fastrnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_dark_style = "github-dark"  # the theme's own underlines names
html_copy_source = False
html_show_sourcelink = False
highlight_language = "none"  # a block that names no language has none: equations and printed output
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app):
    """Connect what Sphinx asks while it builds."""
    connect(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
