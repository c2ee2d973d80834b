import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import BytesIO, StringIO, TextIOWrapper
from unittest.mock import patch

import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph, __version__, _files, split
from pyg_modules.cli import main, train_run
from pyg_modules.datasets import DATASETS
from pyg_modules.experiment import load_run

pytestmark = pytest.mark.usefixtures("pictures_of_one_pixel")

FILES = [
    "analysis.safetensors",
    "config.json",
    "free/config.json",
    "free/labels.json",
    "free/model.safetensors",
    "history.json",
    "labels.json",
    "metrics.json",
    "model.safetensors",
    "partition.png",
    "regularized/config.json",
    "regularized/model.safetensors",
    "report.html",
]
SMALL = [
    "--num-hidden",
    "8",
    "--num-modules",
    "2",
    "--steps",
    "2",
    "--epochs",
    "2",
    "--finetune-epochs",
    "1",
]


def contents(folder):
    """The bytes of all files by their path in the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a small run, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as error:
        assert main(["train", *SMALL, "--out", str(folder)]) == 0
    assert error.getvalue() == ""
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def quiet_run(tmp_path_factory):
    """The folder of a run with ``--quiet`` and the second names of options, and what it printed."""
    folder = tmp_path_factory.mktemp("quiet")
    small = [{"--num-hidden": "--hidden", "--num-modules": "--modules"}.get(s, s) for s in SMALL]
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as error:
        assert main(["train", *small, "--out", str(folder), "--quiet"]) == 0
    return folder, (printed.getvalue(), error.getvalue())


def test_it_writes_its_files_and_no_others(run):
    assert sorted(contents(run[0])) == FILES
    assert (run[0] / "partition.png").read_bytes().startswith(b"\x89PNG")


def test_the_files_are_those_of_one_model(run):
    folder, _ = run
    labels = json.loads((folder / "labels.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    layer = SynchronousGraph.load(folder)
    assert layer.labels.tolist() == labels
    assert metrics["module_sizes"] == torch.bincount(layer.labels[64:72]).tolist() == [4, 4]
    assert metrics["num_parameters"]["finetuned"] == layer.weight.numel() + layer.bias.numel()
    assert metrics["independence"]["paths"] == 0
    assert metrics["independence"]["max_cross_jacobian"] == 0
    x = torch.rand(3, 64)
    torch.testing.assert_close(sum(part(x) for part in split(layer)), layer(x))


def test_it_prints_plain_lines_and_a_summary_that_names_the_report_first(run):
    folder, printed = run
    line = next(line for line in printed.splitlines() if "by the regularizer: epoch 2/2" in line)
    assert line.endswith("  phase free, no modules read yet")
    summary = printed[printed.index("\n\n") :].split()
    assert summary[:2] == ["open", str(folder / "report.html")]
    assert "test accuracy  parameters" in printed
    assert printed.splitlines()[-1] == f"wrote {folder}"
    assert "\x1b" not in printed


def test_quiet_prints_nothing(quiet_run):
    folder, printed = quiet_run
    assert printed == ("", "")
    assert sorted(contents(folder)) == FILES


def test_a_report_is_written_again(run, tmp_path, capsys):
    folder = tmp_path / "a run"
    shutil.copytree(run[0], folder)
    (folder / "report.html").write_text("earlier")
    before = contents(folder)
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr() == (f"wrote {folder / 'report.html'}\n", "")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert f"--out &#39;{folder}&#39;" in page
    after = contents(folder)
    assert after.pop("report.html") != before.pop("report.html")
    assert after == before


def is_one_line_with(error, message):
    return (
        error.startswith("pyg-modules: error: ")
        and message in error
        and len(error.splitlines()) == 1
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "without metrics.json"),
        (lambda folder: (folder / "metrics.json").unlink(), "without metrics.json"),
        (lambda folder: (folder / "history.json").unlink(), "Expected all files of one run"),
        (
            lambda folder: (folder / "labels.json").write_text("[1,"),
            "Expected all files of one run",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 64),
            "Expected all files of one run",
        ),
        (
            lambda folder: (folder / "analysis.safetensors").write_bytes(b"x"),
            "Expected all files of one run",
        ),
    ],
)
def test_a_folder_that_is_no_complete_run_is_refused_in_one_line(
    damage, message, run, tmp_path, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    damage(folder)
    assert main(["report", str(folder)]) == 2
    printed, error = capsys.readouterr()
    assert printed == ""
    assert is_one_line_with(error, message)


@pytest.mark.parametrize("missing", ["bokeh", "jinja2", "matplotlib"])
def test_a_missing_extra_is_named_in_one_line_before_the_training(missing, run, tmp_path, capsys):
    # An entry of None is how Python marks a module that cannot be imported.
    with patch.dict("sys.modules", {missing: None}):
        assert main(["report", str(run[0])]) == 2
        error = capsys.readouterr().err
        assert is_one_line_with(error, f"needs {missing}: pip install 'pyg-modules[report]'")
        assert main(["train", *SMALL, "--out", str(tmp_path / "out")]) == 2
        assert capsys.readouterr() == ("", error)
    assert not (tmp_path / "out").exists()


def test_a_run_that_cannot_be_written_where_it_should_is_kept_elsewhere(
    run, tmp_path, monkeypatch, capsys
):
    # Trained already: what counts is how it is written.
    loaded = load_run(run[0])
    monkeypatch.setattr(train_run, "run_experiment", lambda *_: loaded)
    folder, rescue = tmp_path / "out", tmp_path / "rescue"
    rescue.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rescue))
    commit = _files._commit

    def full(stage, target):
        if target == folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        commit(stage, target)

    monkeypatch.setattr(_files, "_commit", full)
    assert main(["train", *SMALL, "--out", str(folder), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert is_one_line_with(error, "No space left on device). Make room")
    (kept,) = rescue.iterdir()
    assert error.endswith(f"The run is not lost: it is in {kept}.\n")
    assert sorted(contents(kept)) == FILES
    assert not any(folder.iterdir())


def test_a_run_whose_page_has_no_room_is_kept_without_it(run, tmp_path, monkeypatch, capsys):
    loaded = load_run(run[0])
    monkeypatch.setattr(train_run, "run_experiment", lambda *_: loaded)
    folder, rescue = tmp_path / "out", tmp_path / "rescue"
    rescue.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rescue))
    monkeypatch.setattr(train_run.Path, "home", lambda: rescue)
    commit = _files._commit

    def full(stage, target):
        if (stage / "report.html").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        commit(stage, target)

    monkeypatch.setattr(_files, "_commit", full)
    assert main(["train", *SMALL, "--out", str(folder), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert is_one_line_with(error, f"it is in {folder}, without its page, which")
    assert not list(rescue.iterdir())
    monkeypatch.undo()
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").exists()
    assert load_run(folder).test_score == loaded.test_score


def test_datasets_are_listed(capsys):
    assert main(["datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(DATASETS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], f"pyg-modules {__version__}"),
        (["--help"], "COMMAND"),
        (["train", "--help"], "report.html"),
        (["report", "--help"], "Write DIR/report.html"),
    ],
)
def test_version_and_help(arguments, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert expected in capsys.readouterr().out


def test_modules_and_hidden_are_second_names_of_options(quiet_run, capsys):
    config = json.loads((quiet_run[0] / "metrics.json").read_text())["config"]
    assert (config["num_modules"], config["num_hidden"]) == (2, 8)
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    assert "--num-modules K, --modules K" in printed
    assert "--num-hidden N, --hidden N" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "imagenet"], "Expected dataset to be one of 'digits'"),
        (["--num-modules", "1"], "Expected num_modules >= 2 (got 1)"),
        (["--modules", "9"], "Expected num_modules <= num_hidden"),
        (["--steps", "0"], "Expected steps >= 1 (got 0)"),
        (["--ncut", "-1"], "Expected a finite ncut >= 0"),
        (["--device", "quantum"], "Expected an available device"),
        (["--dataset", "optdigits", "--data-root", "nowhere"], "got none of that name"),
    ],
)
def test_bad_input_is_said_in_one_line_before_anything_is_written(
    arguments, message, tmp_path, capsys
):
    assert main(["train", *SMALL, *arguments, "--out", str(tmp_path / "out")]) == 2
    printed, error = capsys.readouterr()
    assert printed == ""
    assert error.startswith("pyg-modules: error: ")
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_is_refused_and_kept(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("mine")
    assert main(["train", *SMALL, "--out", str(path)]) == 2
    assert "got the file" in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_an_out_that_cannot_be_written_is_refused_before_training(tmp_path, capsys):
    with patch("tempfile.mkdtemp", side_effect=PermissionError(13, "Permission denied")):
        assert main(["train", *SMALL, "--out", str(tmp_path)]) == 2
    printed, error = capsys.readouterr()
    assert printed == ""
    assert "a folder to write to" in error
    assert "Permission denied" in error


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["learn"],
        ["train"],
        ["train", "--out", ""],
        ["train", "--out", "x", "--hid", "3"],
        ["train", "--out", "x", "--steps", "2.5"],
        ["report"],
        ["report", ""],
        ["report", "x", "y"],
    ],
)
def test_wrong_usage_ends_with_status_two(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: pyg-modules" in capsys.readouterr().err


def test_ctrl_c_leaves_the_files_of_the_last_complete_run(run):
    folder, _ = run
    before = contents(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "pyg_modules", "train", "--out", folder, "--overwrite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell runs in the background are started with Ctrl-C ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    process.stdout.readline()  # The training has begun.
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("pyg-modules: interrupted")
    assert "Traceback" not in error
    assert contents(folder) == before


def printing(encoding, monkeypatch, *arguments):
    """The exit status, and what is printed in ``encoding``, which refuses what it does not know."""
    streams = [TextIOWrapper(BytesIO(), encoding, errors="strict") for _ in range(2)]
    with monkeypatch.context() as replaced:
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            replaced.setattr(sys, name, stream)
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            status = stopped.code
    for stream in streams:
        stream.flush()
    return status, *(stream.buffer.getvalue() for stream in streams)


NAME = "l\u00e4ufe-\u03a9"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_folder_whose_name_cannot_be_printed_is_written_to(encoding, run, tmp_path, monkeypatch):
    folder = tmp_path / NAME
    shutil.copytree(run[0], folder)
    (folder / "report.html").unlink()
    status, printed, error = printing(encoding, monkeypatch, "report", folder)
    assert (status, error) == (0, b"")
    written = f"wrote {folder / 'report.html'}".encode(encoding, "backslashreplace")
    assert printed.splitlines() == [written]
    assert (folder / "report.html").is_file()


def test_a_training_says_where_it_wrote_though_it_cannot_print_the_name(tmp_path):
    folder = tmp_path / "\u03a9"
    process = subprocess.run(
        [sys.executable, "-m", "pyg_modules", "train", *SMALL, "--out", folder],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1:strict"},
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert process.stdout.splitlines()[-1] == f"wrote {folder}".encode("ascii", "backslashreplace")
    assert sorted(contents(folder)) == FILES


@pytest.mark.parametrize(
    "arguments",
    [
        lambda folder: ["report", folder / NAME],
        lambda folder: ["train", "--dataset", NAME, "--out", folder / "run"],
        lambda folder: ["train", "--out", folder / "run", NAME],
    ],
)
def test_an_error_with_a_name_that_cannot_be_printed_is_said(arguments, tmp_path, monkeypatch):
    status, printed, error = printing("latin-1", monkeypatch, *arguments(tmp_path))
    assert (status, printed) == (2, b"")
    *_, last = error.splitlines()
    assert b"error: " in last
    assert NAME.encode("latin-1", "backslashreplace") in last
    assert not any(tmp_path.iterdir())


def test_an_out_whose_name_is_no_text_is_refused_before_training(tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"run-\xff")
    assert main(["train", *SMALL, "--out", str(folder)]) == 2
    assert "path is text" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"path is text \(got '.*run-.udcff', "):
        SynchronousGraph(UnitGraph.complete(1, 2, 1)).save(folder)
    assert not any(tmp_path.iterdir())
