import re
from importlib import import_module

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
