"""Settings of Sphinx, whose source is the repository: `make docs` builds pages into build/."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
EXECUTED = ROOT / "build" / ".notebooks"
sys.path[:0] = [str(ROOT), str(DOCS)]

import pyg_modules  # noqa: E402

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "pyg_modules"
author = "The pyg_modules team"
copyright = author  # noqa: A001, the name that Sphinx reads
release = version = pyg_modules.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "_mathml", "_questions"]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/**"]
# Not entered at all: environments, checkpoints of notebooks, and what is built.
exclude_patterns = [".*", "**/.*", "build"]

# Markdown #########################################################################################

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3


def _digest_of_package() -> str:
    """Of all sources, so that notebooks are run again when the package has changed."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "pyg_modules").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# Notebooks ########################################################################################

nb_execution_mode = "cache"
nb_execution_cache_path = str(EXECUTED / _digest_of_package())
nb_execution_raise_on_error = True
nb_execution_timeout = 240
nb_merge_streams = True
# Progress of downloads.
nb_output_stderr = "remove"

# Docstrings #######################################################################################

autodoc_member_order = "bysource"
# The types are those that the docstrings give, with shapes; signatures stay short.
autodoc_typehints = "none"
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shapes", "params_style")]
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 80
python_display_short_literal_types = True

nitpicky = True
# Documented by their own projects. intersphinx would need the network to build these pages.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(torch|torch_geometric|networkx|matplotlib|lightning|optuna|sklearn|numpy|pandas)\..*",
    ),
]

# HTML #############################################################################################

html_theme = "furo"
html_title = "pyg_modules"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False


def _names_of_rooms() -> dict[str, str]:
    """Names of the API, bare, of the package and of the file, to the one they are documented by."""
    documented = {}
    for page in sorted((DOCS / "api").glob("*.md")):
        if page.stem == "index":
            continue
        room = f"pyg_modules.{page.stem}"
        module = importlib.import_module(room)
        for name in module.__all__:
            here = f"{room}.{name}"
            defined_in = getattr(getattr(module, name), "__module__", room)
            for alias in (name, f"pyg_modules.{name}", f"{defined_in}.{name}"):
                documented.setdefault(alias, here)
    return documented


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: Any, content: nodes.TextElement
) -> nodes.reference | None:
    """Lead a reference to a name of another room there, by whichever name it is called."""
    if node.get("refdomain") != "py":
        return None
    head, _, member = node["reftarget"].partition(".")
    names, target = _names_of_rooms(), node["reftarget"]
    if target not in names and head in names and member:
        target = f"{names[head]}.{member}"
    target = names.get(target, target)
    if target == node["reftarget"]:
        return None
    domain = env.get_domain("py")
    found: nodes.reference | None = domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", target, node, content
    )
    return found


def _skip(
    app: Sphinx,  # noqa: ARG001
    what: str,  # noqa: ARG001
    name: str,
    member: object,
    skip: bool,
    options: object,  # noqa: ARG001
) -> bool | None:
    """Leave out fields of named tuples, which the class documents, and scikit-learn's routing."""
    if type(member).__name__ == "_tuplegetter" or name in ("set_fit_request", "set_score_request"):
        return True
    return skip


def _keep_outputs(app: Sphinx) -> None:
    """Put what executed notebooks show below ``build/``; myst-nb puts it beside the pages."""
    app.env.mystnb_config = app.env.mystnb_config.copy(output_folder=str(EXECUTED / "outputs"))


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("builder-inited", _keep_outputs)
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-skip-member", _skip)
