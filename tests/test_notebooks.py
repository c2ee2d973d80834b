"""What can be said of the notebooks without running them; the documentation runs them."""

import ast
import importlib
import re
from itertools import groupby
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = ("01_digits", "02_cora", "03_vision", "04_analyse")


def notebook(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def code(cells):
    """The syntax tree of all code cells."""
    return ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))


def sections(cells):
    """The cells from every heading of the second level to the next, without the opening cell."""
    number = 0

    def section_of(cell):
        nonlocal number
        number += cell.cell_type == "markdown" and cell.source.startswith("## ")
        return number

    return [list(section) for number, section in groupby(cells[1:], section_of) if number > 0]


def test_these_are_all_notebooks_and_on_their_page():
    files = [f"{n}.ipynb" for n in NAMES]
    assert sorted(path.name for path in FOLDER.rglob("*.ipynb")) == files
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    titles = [notebook(name).cells[0].source.splitlines()[0].removeprefix("# ") for name in NAMES]
    assert re.findall(r"\[(.*)\]\((.*ipynb)\)", page) == list(zip(titles, files, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_link_to_a_file_leads_there(name):
    for cell in notebook(name).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", cell.source):
                assert (FOLDER / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_valid_and_stripped(name):
    nb = notebook(name)
    nbformat.validate(nb)
    assert (nb.nbformat, nb.metadata.kernelspec.name) == (4, "python3")
    assert len({cell.id for cell in nb.cells}) == len(nb.cells)
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert all(cell.metadata == {} for cell in nb.cells)


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_with_what_the_reader_will_be_able_to_do(name):
    lines = notebook(name).cells[0].source.splitlines()
    assert lines[0].startswith("# ")
    assert lines[2] == "## What you will be able to do"
    assert lines[4].startswith("* ")


@pytest.mark.parametrize("name", NAMES)
def test_every_section_asserts_what_it_says(name):
    parts = sections(notebook(name).cells)
    assert len(parts) >= 4
    for part in parts:
        asserts = [node for node in ast.walk(code(part)) if isinstance(node, ast.Assert)]
        assert asserts, part[0].source


@pytest.mark.parametrize("name", NAMES)
def test_it_sets_its_seed(name):
    calls = [ast.unparse(node) for node in ast.walk(code(notebook(name).cells))]
    assert any(call.startswith("torch.manual_seed(") for call in calls)


@pytest.mark.parametrize("name", NAMES)
def test_it_imports_public_names_of_the_package_alone(name):
    imported = [
        (node.module, alias.name)
        for node in ast.walk(code(notebook(name).cells))
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "pyg_modules"
        for alias in node.names
    ]
    assert imported
    for room, public in imported:
        module = importlib.import_module(room)
        assert public in module.__all__
