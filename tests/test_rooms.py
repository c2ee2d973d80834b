"""What the order of the rooms (the contracts in pyproject.toml) does not say about imports."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from importlinter.api import read_configuration

from pyg_modules.ops import ACTIVATIONS, BACKENDS
from pyg_modules.solve import SOLVERS

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "pyg_modules").rglob("*.py"))


def names_from_faces(source):
    """``room.name`` of what a file imports from ``__init__.py`` that comes from another file.

    Imports by relative names are found as well: where they lead is not looked up.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append("." * node.level + (node.module or ""))
        elif isinstance(node, ast.ImportFrom):
            face = ROOT.joinpath(*node.module.split("."), "__init__.py")
            if not node.module.startswith("pyg_modules") or not face.exists():
                continue
            imports = [it for it in ast.walk(ast.parse(face.read_text())) if is_import(it)]
            passed_on = {alias.asname or alias.name for it in imports for alias in it.names}
            found += [f"{node.module}.{it.name}" for it in node.names if it.name in passed_on]
        elif isinstance(node, ast.Import):
            found += [it.name for it in node.names if it.name.split(".")[0] == "pyg_modules"]
    return found


def is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if file.name != "__init__.py"],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_a_file_imports_from_the_file_that_has_the_name(file):
    assert names_from_faces(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from pyg_modules.ops import EdgeSet", ["pyg_modules.ops.EdgeSet"]),
        ("def f():\n    from pyg_modules import cut", ["pyg_modules.cut"]),
        ("import pyg_modules.ops", ["pyg_modules.ops"]),
        ("from .edge_set import EdgeSet", [".edge_set"]),
        ("from pyg_modules.ops.edge_set import EdgeSet", []),
        ("from pyg_modules import __version__", []),
        ("from pyg_modules.report.html import words", []),
    ],
)
def test_imports_from_faces_are_found(source, found):
    assert names_from_faces(source) == found


def compared_strings(source):
    """The strings that a file compares something with."""
    compares = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    return {
        node.value
        for compare in compares
        for node in ast.walk(compare)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_comparisons_are_found():
    source = 'a == "x" or b in ("y", f("z")) or g("w")'
    assert compared_strings(source) == {"x", "y", "z"}


@pytest.mark.parametrize("table", [ACTIVATIONS, BACKENDS, SOLVERS], ids=lambda t: min(t))
def test_what_is_chosen_by_name_is_never_compared_by_name(table):
    texts = [file.read_text(encoding="utf-8") for file in FILES]
    assert set().union(*map(compared_strings, texts)) & set(table) == set()


def test_no_two_files_have_the_same_name():
    names = Counter(file.name for file in FILES if file.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_pages_list_the_rooms_in_their_order(page):
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    names = re.findall(r"\w+", " ".join(reversed(contracts[0]["layers"])))
    rooms = [name for name in names if (ROOT / "pyg_modules" / name).is_dir()]
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"^\| `pyg_modules/(\w+)/`", text, re.MULTILINE) == rooms
