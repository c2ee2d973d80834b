import signal
import subprocess
import sys

import pytest

from pyg_modules.cli.endings import uninterrupted


def interrupted_work(done):
    with uninterrupted("it is done"):
        signal.raise_signal(signal.SIGINT)
        done.append(True)


def test_ctrl_c_waits_for_the_end_of_what_must_not_be_interrupted():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    try:
        with pytest.raises(KeyboardInterrupt, match="it is done"):
            interrupted_work(done)
        assert done == [True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(ZeroDivisionError), uninterrupted(""):
            raise ZeroDivisionError
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("arguments", ["--help", "train --help", "--version"])
def test_help_imports_neither_torch_nor_anything_else_that_is_large(arguments):
    command = [sys.executable, "-X", "importtime", "-m", "pyg_modules", *arguments.split()]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in ran.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & {"torch", "torch_geometric", "numpy", "scipy", "sklearn", "pandas"}


def test_help_for_a_reader_who_has_left_is_no_error_and_for_a_full_disk_one():
    command = [sys.executable, "-m", "pyg_modules", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    with open("/dev/full", "w") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"pyg-modules: error: what was to be printed: No space left")
