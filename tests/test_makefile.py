"""`make demo` installs torch by itself, whatever pip finds."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Without what the make that runs the tests says to the makes under it.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
# Knows no torch; its pip finds the packages in $FOUND, and all asked for are written to $ASKED.
PYTHON = """#!/bin/sh
case "$*" in
  *"import torch"*) exit ${WITHOUT_TORCH:-1} ;;
  *"install"*)
    for word in "$@"; do package=$word; done
    echo "$package" >> "$ASKED"
    case " $FOUND " in *" $package "*) exit 0 ;; esac
    echo "ERROR: No matching distribution found for $package" >&2
    exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("there", "found", "asked", "printed"),
    [
        (True, "", [], ""),
        (False, "torch==2.13.0+cpu torch==2.13.0", ["torch==2.13.0+cpu"], ""),
        (False, "torch==2.13.0", ["torch==2.13.0+cpu", "torch==2.13.0"], "large, with CUDA. The"),
    ],
    ids=["a torch that is there", "the build for the CPU", "the default package"],
)
def test_torch_is_that_which_is_there_or_the_smallest_that_pip_finds(
    there, found, asked, printed, tmp_path
):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    log = tmp_path / "asked"
    log.touch()
    variables = {"FOUND": found, "ASKED": str(log), "WITHOUT_TORCH": "0" if there else "1"}
    venv = tmp_path / "venv"
    ran = subprocess.run(
        ["make", "--silent", f"VENV={venv}", f"{venv}/.torch"],
        cwd=ROOT,
        env={**ENVIRONMENT, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert log.read_text().split() == asked
    assert printed in ran.stdout
    assert len(ran.stdout.splitlines()) == bool(printed)
    assert (venv / ".torch").exists()


def test_where_pip_finds_no_torch_at_all_its_message_is_seen(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    ran = subprocess.run(
        ["make", "--silent", f"VENV={tmp_path}/venv", f"{tmp_path}/venv/.torch"],
        cwd=ROOT,
        env={**ENVIRONMENT, "FOUND": "", "ASKED": str(tmp_path / "asked")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "No matching distribution found for torch==2.13.0\n" in ran.stderr
    assert not (tmp_path / "venv" / ".torch").exists()
