import re
from importlib import import_module
from runpy import run_module

import pytest

from benchmarks.tables import ROOT

MODULES = sorted(set(re.findall(r"-m (benchmarks\S+)", (ROOT / "Makefile").read_text())))


def test_a_quick_run_is_no_measurement_and_goes_with_a_file_of_its_own(capsys):
    refused = set()
    for name in MODULES:
        package = any((ROOT / name.replace(".", "/")).glob("__main__.py"))
        module = import_module(f"{name}.__main__" if package else name)
        if {"parse", "command"} & set(vars(module)):
            with pytest.raises(SystemExit):
                module.main(["--quick"])
            assert "--quick goes with --out" in capsys.readouterr().err, name
            refused.add(name)
    # Others write nothing when they are quick, or have no quick run.
    assert {name.rpartition(".")[2] for name in set(MODULES) - refused} == {
        *("speed", "plan", "generators", "report", "tables"),
        *("digits", "exactness", "mnist1d", "partition", "grid", "comparison", "frontier"),
        "initialisation",
    }


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    "name",
    [
        *("accuracy.digits", "accuracy.exactness", "accuracy.comparison.frontier"),
        *("speed.plan", "tables"),
    ],
)
@pytest.mark.parametrize(("option", "status"), [("--help", 0), ("--quick", 2)])
def test_a_command_without_options_does_nothing_when_it_is_given_one(
    name, option, status, monkeypatch, capsys
):
    monkeypatch.setattr("sys.argv", [name, option])
    with pytest.raises(SystemExit) as ended:
        run_module(f"benchmarks.{name}", run_name="__main__")
    assert ended.value.code == status
    assert "usage:" in "".join(capsys.readouterr())
