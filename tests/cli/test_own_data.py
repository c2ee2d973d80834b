"""From a file to a report, a network and predictions, by commands alone."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import numpy
import pytest
import torch

from pyg_modules import SynchronousGraph
from pyg_modules.cli import main, train_run
from pyg_modules.datasets import load_encoding, load_file
from pyg_modules.experiment import load_run
from pyg_modules.experiment.score import score
from tests.own_data import EQUAL, own_table

pytestmark = pytest.mark.usefixtures("pictures_of_one_pixel")

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


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """The file, the folder of its run of two seeds, and what was printed."""
    place = tmp_path_factory.mktemp("wine")
    table = own_table("wine")
    table.to_csv(place / "wine.csv", index=False)
    command = ["train", "--out", str(place / "run"), "--data", str(place / "wine.csv")]
    command += ["--target", "grade", *SMALL, "--seeds", "2", "--random-cut"]
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as error:
        assert main(command) == 0
    assert error.getvalue() == ""
    return place / "wine.csv", place / "run", printed.getvalue()


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory):
    """The file, and the folder of its run."""
    place = tmp_path_factory.mktemp("diabetes")
    own_table("diabetes").to_csv(place / "diabetes.csv", index=False)
    arguments = ["--data", str(place / "diabetes.csv"), "--target", "grade", *SMALL, "--quiet"]
    assert main(["train", *arguments, "--out", str(place / "run")]) == 0
    return place / "diabetes.csv", place / "run"


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_done_to_the_data_is_said_and_kept(wine):
    _, folder, printed = wine
    notes = load_encoding(folder).notes
    assert "column 'alcohol': 4 missing, taken to be the median 13.06" in notes
    lines = printed.splitlines()
    assert lines[:7] == ["computing on cpu", *(f"data: {note}" for note in notes)]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "taken to be the median 13.06" in page


def test_seeds_are_a_mean_and_a_spread_and_the_random_cut_is_in_the_table(wine):
    _, folder, printed = wine
    run = load_run(folder)
    assert len(run.other_seeds) == 1
    for name, meaning in (
        ("finetuned", "the same, trained on after the cut"),
        ("random_cut", "the same as organised, cut at random instead, trained on"),
    ):
        scores = [100 * run.test_score[name], 100 * run.other_seeds[0][name]]
        shown = f"{numpy.mean(scores):.2f} ± {numpy.std(scores, ddof=1):.2f}%"
        assert re.search(rf"^{meaning} +{shown} +\d+$", printed, re.MULTILINE)
        page = (folder / "report.html").read_text(encoding="utf-8").replace("\u202f", " ")
        assert shown.replace("%", " %") in page
    assert [record.phase for record in run.histories["random_cut"]] == ["cut"]


def test_the_command_of_the_report_names_the_file(wine):
    page = (wine[1] / "report.html").read_text(encoding="utf-8")
    for piece in (f"--data {wine[0]}", "--target grade", "--seeds 2", "--random-cut<"):
        assert piece in page
    assert "--dataset" not in page


def test_predictions_of_classes_are_those_of_the_network(wine, tmp_path, capsys):
    path, folder, _ = wine
    assert main(["predict", str(folder), str(path)]) == 0
    printed = capsys.readouterr().out
    rows = rows_of(folder / "wine.predictions.csv")
    table, encoding = own_table("wine"), load_encoding(folder)
    x = torch.from_numpy(encoding.encode(table, "wine.csv"))
    with torch.no_grad():
        expected = SynchronousGraph.load(folder)(x).softmax(dim=1)
    assert [row["grade"] for row in rows] == [str(c) for c in expected.argmax(dim=1).tolist()]
    found = [[float(row[f"probability of {c}"]) for c in "012"] for row in rows]
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)
    right = numpy.mean(
        [row["grade"] == str(c) for row, c in zip(rows, table["grade"], strict=True)]
    )
    assert f"accuracy {right:.2%} of 178 rows" in printed
    # Without the target, in another order of columns, with a category that is new.
    other = table.drop(columns="grade")[sorted(table.columns.drop("grade"))].head(3)
    other.loc[0, "region"] = "west"
    other.to_csv(tmp_path / "new.csv", index=False)
    arguments = ["predict", str(folder), str(tmp_path / "new.csv"), "--out"]
    assert main([*arguments, str(tmp_path / "out.csv")]) == 0
    printed = capsys.readouterr().out
    assert "column 'region' has 'west', which the training part has not" in printed
    assert "accuracy" not in printed
    assert rows_of(tmp_path / "out.csv")[1:] == rows[1:3]


def test_predictions_of_numbers_are_those_of_the_network_in_their_unit(diabetes, capsys):
    path, folder = diabetes
    assert main(["predict", str(folder), str(path), "--out", str(folder / "p.csv")]) == 0
    table, encoding = own_table("diabetes"), load_encoding(folder)
    x = torch.from_numpy(encoding.encode(table, "diabetes.csv"))
    with torch.no_grad():
        outputs = SynchronousGraph.load(folder)(x)[:, 0]
    expected = outputs.double() * encoding.target.scale + encoding.target.mean
    found = torch.tensor([float(row["grade"]) for row in rows_of(folder / "p.csv")]).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    residual = ((table["grade"].to_numpy() - found.numpy()) ** 2).sum()
    r2 = 1 - residual / ((table["grade"] - table["grade"].mean()) ** 2).sum()
    assert f"R² {r2:.3f} of 442 rows" in capsys.readouterr().out


def test_a_regression_is_scored_by_r2(diabetes):
    path, folder = diabetes
    run, data = load_run(folder), load_file(path, target="grade")
    assert run.is_regression
    assert run.lesions.is_regression
    assert float(run.lesions.all) == pytest.approx(run.test_score["finetuned"], abs=1e-5)
    assert run.test_score["finetuned"] == score(run.finetuned, data.test_x, data.test_y)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"{run.test_score['mlp']:.3f}".replace("-", "−") in page
    assert "Test R²" in page
    assert "R² by output: all modules, without each, each alone" in page


def test_what_was_saved_is_cut_exported_and_shown_again(wine, tmp_path, capsys):
    path, folder, _ = wine
    cut, parts = tmp_path / "cut", tmp_path / "parts"
    command = ["partition", str(folder / "free"), "--num-modules", "4", "--out", str(cut)]
    assert main(command) == 0
    assert SynchronousGraph.load(cut).labels.tolist() == json.loads(
        (cut / "labels.json").read_text()
    )
    assert "modules of 2, 2, 2, 2 hidden units; normalized cut 0." in capsys.readouterr().out
    assert main(["predict", str(cut), str(path), "--out", str(tmp_path / "p.csv")]) == 0
    assert main(["export", str(cut), "--format", "pt2", "--out", str(parts)]) == 0
    x = torch.from_numpy(load_encoding(parts).encode(own_table("wine"), "wine.csv"))
    programs = [torch.export.load(parts / f"part_{number}.pt2") for number in range(4)]
    outputs = sum(program.module()(x) for program in programs)
    torch.testing.assert_close(outputs, SynchronousGraph.load(cut)(x), rtol=1e-4, atol=1e-5)
    assert main(["report", str(folder)]) == 0
    for network, says in ((cut, "It is cut into 4 modules"), (folder / "free", "Cut into 2 mod")):
        assert main(["report", str(network), "--data", str(path)]) == 0
        assert says in (network / "report.html").read_text(encoding="utf-8")


def test_the_number_of_modules_is_found_and_all_that_follows_knows_it(wine, tmp_path, capsys):
    folder, small = tmp_path / "run", [*SMALL]
    small[small.index("--num-modules") + 1] = "auto"
    command = ["train", "--data", str(wine[0]), "--target", "grade", *small, "--random-cut"]
    assert main([*command, "--seeds", "2", "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    run = load_run(folder)
    found = int(run.labels.max()) + 1
    assert run.config.num_modules == "auto"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["num_modules"] == run.num_modules == len(run.module_sizes) == found >= 2
    assert f"found {found} modules" in printed.splitlines()
    assert f"{found} modules of {', '.join(map(str, run.module_sizes))} hidden units;" in printed
    # Cut into as many modules of the same sizes, they have as many edges.
    counts = [run.num_parameters[name] for name in ("cut", "random_cut", "random_modules")]
    assert len(set(counts)) == 1
    assert int(run.free_labels.max()) + 1 == found
    page = (folder / "report.html").read_text(encoding="utf-8")
    for piece in (
        f"<title>wine.csv: {found} neural modules",
        f"divided into {found} modules, as many as it found, of",
        "each with as many modules as it found",
        "--num-modules auto",
    ):
        assert piece in page
    assert main(["report", str(folder)]) == 0
    assert main(["predict", str(folder), str(wine[0])]) == 0
    assert main(["export", str(folder), "--format", "pt2", "--out", str(tmp_path / "parts")]) == 0
    assert len(list((tmp_path / "parts").glob("*.pt2"))) == found


@pytest.mark.parametrize("scope", ["inputs", "all"])
def test_modules_have_inputs_of_their_own_and_all_that_follows_knows_it(
    scope, wine, tmp_path, capsys
):
    path, folder = str(wine[0]), str(tmp_path / "run")
    command = ["train", "--data", path, "--target", "grade", *SMALL, "--scope", scope]
    assert main([*command, "--random-cut", "--out", folder]) == 0
    run = load_run(folder)
    assert run.config.scope == scope
    kinds = dict(
        zip(("inputs", "hidden units", "outputs"), run.labels.split([17, 8, 3]), strict=True)
    )
    owned = list(kinds)[: 3 if scope == "all" else 2]
    words = [f"{', '.join(map(str, kinds[name].bincount().tolist()))} {name}" for name in owned]
    printed = capsys.readouterr().out
    assert f"2 modules of {' and '.join(words)};" in printed
    names = load_run(folder).encoding.input_names
    kept = ("(missing)", "east, west", "north", "south")
    assert names[-4:] == [f"region = {category}" for category in kept]
    first, second = (
        ", ".join(
            name for name, label in zip(names, kinds["inputs"].tolist(), strict=True) if label == k
        )
        for k in range(2)
    )
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"--scope {scope}" in page
    for module, inputs in enumerate((first, second)):
        assert f"module {module}: inputs {inputs}" in printed
        assert f"module {module}: inputs {inputs}" in page
    assert main(["report", folder]) == 0
    assert main(["predict", folder, path]) == 0
    assert main(["export", folder, "--format", "pt2", "--out", str(tmp_path / "parts")]) == 0
    cut = tmp_path / "cut"
    options = ["--num-modules", "2", "--scope", scope, "--out", str(cut)]
    capsys.readouterr()
    assert main(["partition", f"{folder}/free", *options]) == 0
    assert f" {owned[-1]}; normalized cut" in capsys.readouterr().out
    labels = SynchronousGraph.load(cut).labels
    assert [kind.min() >= 0 for kind in labels.split([17, 8, 3])] == [True, True, scope == "all"]
    assert main(["report", str(cut), "--data", path]) == 0


def test_of_rows_that_were_trained_on_it_is_said(wine, diabetes, tmp_path, capsys):
    for (path, folder, *_), number in ((wine, "142 of the 178"), (diabetes, "353 of the 442")):
        said = f"data: {number} rows of {path} {EQUAL}"
        out = str(tmp_path / f"{path.stem}.csv")
        assert main(["predict", str(folder), str(path), "--out", out]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert said in printed
        others = [line for line in printed if "missing, taken to be the median" not in line]
        assert len(others) == 3
        assert main(["report", str(folder / "free"), "--data", str(path)]) == 0
        assert said in capsys.readouterr().out.splitlines()
    # The rows are known in any file, with other columns and in another order; others are not.
    data = load_file(wine[0], target="grade")
    table = own_table("wine")
    inputs = data.encoding.encode(table, "wine.csv")
    held_out = (inputs[:, None] == data.test_x.numpy()).all(axis=2).any(axis=1)
    assert held_out.sum() == 36
    new = tmp_path / "new.csv"
    for rows, said in (
        (table[held_out], ""),
        (table[held_out | (numpy.arange(178) < 10)].iloc[::-1], r"\d of the \d+ rows"),
        (table[~held_out].assign(grade=lambda rows: (rows["grade"] + 1) % 3), ""),
        (table.drop(columns="grade"), ""),
    ):
        rows.drop(columns=["unit", "sample"]).to_csv(new, index=False)
        assert main(["predict", str(wine[1]), str(new), "--out", str(tmp_path / "out.csv")]) == 0
        printed = capsys.readouterr().out
        assert ("were trained on" in printed) == bool(said)
        assert re.search(said, printed)


def test_of_a_network_of_an_earlier_version_nothing_is_said_of_rows(wine, tmp_path, capsys):
    shutil.copytree(wine[1], tmp_path / "run")
    path = tmp_path / "run" / "data.json"
    fields = json.loads(path.read_text())
    del fields["trained_on"]
    path.write_text(json.dumps(fields))
    (tmp_path / "run" / "metrics.json").unlink()  # It knows the file as it was.
    assert main(["predict", str(tmp_path / "run"), str(wine[0])]) == 0
    filled, accuracy, wrote = capsys.readouterr().out.splitlines()
    assert filled == (
        "data: column 'alcohol': 6 of 178 missing, taken to be the median 13.06 of the training"
        " part"
    )
    assert accuracy.startswith("accuracy ")
    assert wrote.startswith("wrote ")


def test_mistakes_with_folders_are_named_with_the_remedy(wine, tmp_path, capsys):
    path, folder, _ = wine
    names = {"run": folder, "file": path, "free": folder / "free", "out": tmp_path / "out"}
    for arguments, message in (
        ("train --out {run}", r"without results .*a run in it\)\. .*--overwrite"),
        ("train --out {free}", r"without results .*a network in it\)"),
        ("train --test {file} --out {out}", r"--data FILE \(got --test without it\)"),
        ("train --data {file} --dataset digits --out {out}", r"got both, digits and .*Leave one"),
        ("train --data {file} --out {out}", r"--target, the column to predict"),
        ("train --data {file} --target grade --modules 200 --out {out}", r"<= num_hidden"),
        ("train --num-modules 1 --out {out}", r"num_modules >= 2 \(got 1\)"),
        ("train --scope outputs --out {out}", r"'hidden', 'inputs', 'all' \(got 'outputs'\)"),
        (
            "train --data {file} --target grade --scope all --out {out}",
            r"num_modules from 2 to 3: .*got 4 modules, 17 inputs and 3 outputs\)\. Use fewer",
        ),
        ("partition {free} --num-modules 4 --scope all --out {out}", r"num_modules from 2 to 3: "),
        ("train --seeds 0 --out {out}", r"seeds >= 1 \(got 0\)"),
        (f"train --seed {2**63 - 1} --seeds 2 --out {{out}}", "seed <= 9223372036854775807"),
        ("predict {out} {file}", r"network that was trained on a file .*without data\.json"),
        ("predict {run} {out}", r"file \.csv, \.parquet, \.npz"),
        ("predict {run} {file} --out {file}", r"another file than .*Name another"),
        ("predict {run} {file} --out {out}", r"--out to be a \.csv"),
        ("partition {run} --out {out}", r"not cut .*which is\).*{run}/regularized or"),
        ("partition {free} --num-modules 90 --out {out}", r"num_modules"),
        ("partition {out} --out {out}2", r"Expected .*out"),
        ("partition {free} --out {run}", r"without results"),
        ("export {free} --out {out}", r"a cut network .*whole\).*pyg-modules partition {free}"),
        ("report {free}", r"folder of a run .*without metrics"),
        ("report {run} --data {file}", r"no run .*Leave --data out, or name {run}/free"),
        ("export {run} --format onyx --out {out}", r"one of 'onnx', 'pt2' \(got 'onyx'\)"),
    ):
        assert main(arguments.format(**names).split()) == 2, arguments
        printed, error = capsys.readouterr()
        assert printed == ""
        assert re.match(f"pyg-modules: error: .*{message.format(**names)}", error), arguments
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_reader_who_leaves_loses_no_training(tmp_path):
    own_table("wine").to_csv(tmp_path / "wine.csv", index=False)
    command = [sys.executable, "-m", "pyg_modules", "train", "--data", tmp_path / "wine.csv"]
    command += ["--target", "grade", *SMALL, "--out", tmp_path / "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert load_run(tmp_path / "run").dataset == "wine.csv"


def test_ctrl_c_keeps_the_seeds_that_are_finished(tmp_path, monkeypatch, capsys):
    from pyg_modules.cli import train_run

    run = train_run.run_experiment

    def second_is_interrupted(data, config, progress):
        if config.seed == 6:
            raise KeyboardInterrupt
        return run(data, config, progress)

    monkeypatch.setattr(train_run, "run_experiment", second_is_interrupted)
    own_table("wine").to_csv(tmp_path / "wine.csv", index=False)
    out = tmp_path / "run"
    arguments = ["--data", str(tmp_path / "wine.csv"), "--target", "grade", "--out", str(out)]
    assert main(["train", *arguments, *SMALL, "--seed", "5", "--seeds", "2"]) == 130
    error = capsys.readouterr().err
    assert error == f"pyg-modules: interrupted; the result of 1 seed is in {out}\n"
    assert load_run(out).config.seed == 5


@pytest.fixture
def interrupting():
    """Makes a function one that is interrupted by Ctrl-C just when it has done its work."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(function):
        def work(*arguments, **settings):
            done = function(*arguments, **settings)
            signal.raise_signal(signal.SIGINT)
            return done

        return work

    yield interrupted
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("seeds", [1, 2])
def test_ctrl_c_while_a_run_is_written_says_that_it_is_there(
    seeds, interrupting, wine, tmp_path, monkeypatch, capsys
):
    from pyg_modules.cli import train_run
    from pyg_modules.report.html import write

    out, run = tmp_path / "run", load_run(wine[1])
    monkeypatch.setattr(train_run, "run_experiment", lambda *_: run)
    write_it = write.write_run_with_report

    def interrupted_at_the_last(result, folder):
        is_last = len(result.other_seeds) == seeds
        return (interrupting(write_it) if is_last else write_it)(result, folder)

    monkeypatch.setattr(write, "write_run_with_report", interrupted_at_the_last)
    arguments = ["--data", str(wine[0]), "--target", "grade", *SMALL, "--out", str(out)]
    assert main(["train", *arguments, "--seeds", str(seeds), "--quiet"]) == 130
    # The run that stands for one training is itself one of two seeds.
    said = f"pyg-modules: interrupted; the result of {seeds + 1} seeds is in {out}\n"
    assert capsys.readouterr().err == said
    assert len(load_run(out).other_seeds) == seeds


def test_ctrl_c_while_results_are_written_says_that_they_are_there(
    interrupting, wine, tmp_path, monkeypatch, capsys
):
    from pyg_modules.cli import predict_file, saved
    from pyg_modules.report.html import write

    for module, name in (
        (saved, "write_json"),
        (saved, "export_parts"),
        (predict_file, "_write"),
        (write, "write_report"),
    ):
        monkeypatch.setattr(module, name, interrupting(getattr(module, name)))
    run = tmp_path / "run"
    shutil.copytree(wine[1], run)
    for arguments, said in (
        ("partition {run}/free --num-modules 2 --out {out}/cut", "network is in {out}/cut"),
        ("export {run} --format pt2 --out {out}/parts", "modules are in {out}/parts"),
        ("predict {run} {data} --out {out}/p.csv", "predictions are in {out}/p.csv"),
        ("report {run}", "page is in {run}"),
    ):
        names = {"run": run, "out": tmp_path, "data": wine[0]}
        assert main(arguments.format(**names).split()) == 130
        error = capsys.readouterr().err
        assert error == f"pyg-modules: interrupted; the {said.format(**names)}\n"
    assert SynchronousGraph.load(tmp_path / "cut").labels is not None
    assert (tmp_path / "parts" / "manifest.json").exists()
    assert len(rows_of(tmp_path / "p.csv")) == 178


def test_a_run_without_a_file_replaces_one_of_a_file_as_a_whole(wine, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(wine[1], folder)
    (folder / "mine.txt").write_text("mine")
    assert main(["train", "--dataset", "digits", *SMALL, "--out", str(folder), "--overwrite"]) == 0
    assert not list(folder.rglob("data.json"))
    assert (folder / "mine.txt").read_text() == "mine"
    for network in (folder, folder / "free"):
        capsys.readouterr()
        assert main(["predict", str(network), str(wine[0])]) == 2
        assert "without data.json" in capsys.readouterr().err
    assert main(["report", str(folder)]) == 0


def test_an_encoding_of_another_run_is_not_taken_along(wine, diabetes, tmp_path, capsys):
    run, out = tmp_path / "run", str(tmp_path / "out")
    shutil.copytree(wine[1], run)
    for place in (run, run / "free"):
        shutil.copy(diabetes[1] / "data.json", place)
    for arguments in (
        ["predict", str(run), str(wine[0])],
        ["partition", str(run / "free"), "--num-modules", "2", "--out", out],
        ["export", str(run), "--format", "pt2", "--out", out],
    ):
        assert main(arguments) == 2
        assert re.search(r"data\.json of the run in .*got that of another", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_results_are_replaced_by_such_of_their_kind_as_a_whole(wine, tmp_path, capsys):
    names = {"run": tmp_path / "run", "cut": tmp_path / "cut", "parts": tmp_path / "parts"}
    shutil.copytree(wine[1], names["run"])
    (tmp_path / "bare").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(wine[1] / "free" / name, tmp_path / "bare")
    export = "export {cut} --format pt2 --out {parts}"
    partition = "partition {from} --num-modules {num} --out {cut}"
    for num, source in ((4, names["run"] / "free"), (2, tmp_path / "bare")):
        for command in (partition, export):
            arguments = command.format(**names, **{"from": source, "num": num}).split()
            assert main([*arguments, *([] if num == 4 else ["--overwrite"])]) == 0
        if num == 4:
            assert main(["report", str(names["cut"]), "--data", str(wine[0])]) == 0
            for place in (names["cut"], names["parts"]):
                assert (place / "data.json").exists()
                (place / "mine.txt").write_text("mine")
    network = ["config.json", "labels.json", "mine.txt", "model.safetensors"]
    assert sorted(path.name for path in names["cut"].iterdir()) == network
    exported = ["manifest.json", "mine.txt", "part_0.pt2", "part_1.pt2"]
    assert sorted(path.name for path in names["parts"].iterdir()) == exported
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in names["run"].rglob("*") if path.is_file()}
    for arguments, message in (
        ("partition {run}/free --out {run}", r"a network to replace.*run, with a run in it"),
        ("partition {run}/free --out {parts}", r"with exported modules in it"),
        ("export {run} --format pt2 --out {run}", r"exported modules to replace.*with a run in it"),
        ("export {run} --format pt2 --out {cut}", r"with a network in it\)\. Name another"),
        ("train --out {cut}", r"a run to replace.*with a network in it.*delete what is there"),
        ("train --out {parts}", r"with exported modules in it"),
    ):
        assert main([*arguments.format(**names).split(), "--overwrite"]) == 2
        assert re.search(message, capsys.readouterr().err), arguments
    after = {path: path.stat().st_mtime_ns for path in names["run"].rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("train --out {out}", "labels.json"),
        ("train --out {out}", "report.html"),
        ("partition {run}/free --out {out}", "labels.json"),
        ("export {run} --format pt2 --out {out}", "data.json"),
        ("export {run} --format pt2 --out {out}", "part_0.pt2"),
    ],
)
def test_files_of_the_same_names_are_replaced_when_it_is_asked_for(
    wine, tmp_path, capsys, command, name
):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    (out / "notes.txt").write_text("mine")
    assert main(command.format(run=wine[1], out=out).split()) == 2
    assert f"named like those to write (got {out}, with {name} in it)" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == sorted([name, "notes.txt"])
    assert (out / name).read_text() == "mine"


def test_predictions_do_not_replace_their_file_by_another_name_of_it(wine, tmp_path, capsys):
    path, folder, _ = wine
    (tmp_path / "link.csv").symlink_to(path)
    before = path.read_bytes()
    for out in (folder / ".." / path.name, tmp_path / "link.csv"):
        assert main(["predict", str(folder), str(path), "--out", str(out)]) == 2
        assert "another file" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("grades", [[None, None], [2.5], [2.5, 2.5]])
def test_targets_of_which_no_score_can_be_said_do_not_prevent_predictions(
    grades, diabetes, tmp_path, capsys
):
    own_table("diabetes")[: len(grades)].assign(grade=grades).to_csv(
        tmp_path / "new.csv", index=False
    )
    assert main(["predict", str(diabetes[1]), str(tmp_path / "new.csv")]) == 0
    assert capsys.readouterr().out == f"wrote {diabetes[1] / 'new.predictions.csv'}\n"
    assert len(rows_of(diabetes[1] / "new.predictions.csv")) == len(grades)


def test_predictions_replace_nothing_but_such_of_the_same_target(wine, tmp_path, capsys):
    path, folder, _ = wine
    out = tmp_path / "out.csv"
    predict = ["predict", str(folder), str(path), "--out", str(out)]
    assert main(predict) == 0
    predictions = out.read_text()
    assert main(predict) == 0
    assert out.read_text() == predictions
    out.write_text("mine\n1\n")
    assert main(predict) == 2
    assert "predictions of 'grade' to replace" in capsys.readouterr().err
    assert out.read_text() == "mine\n1\n"
    out.write_text("")  # As mktemp leaves it.
    assert main(predict) == 0
    assert out.read_text() == predictions
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "long.csv").write_text("x" * 200_000)
    for name in ("folder", "loop", "pipe", "long"):
        assert main([*predict[:-1], str(tmp_path / f"{name}.csv")]) == 2
        assert "Expected --out to be a " in capsys.readouterr().err
    # Nor what the network was trained on, whichever rows it predicts.
    copy, before = tmp_path / "copy.csv", path.read_text()
    copy.write_text(before)
    assert main(["predict", str(folder), str(copy), "--out", str(path)]) == 2
    assert "another file than those of the data" in capsys.readouterr().err
    assert path.read_text() == before


def test_predictions_go_where_a_link_leads(wine, tmp_path):
    path, folder, _ = wine
    link, place = tmp_path / "link.csv", tmp_path / "place.csv"
    link.symlink_to(place)
    assert main(["predict", str(folder), str(path), "--out", str(link)]) == 0
    assert link.is_symlink()
    assert place.read_text().startswith("grade,probability of 0")


def test_a_link_to_itself_is_no_place(wine, tmp_path, capsys):
    path, folder, _ = wine
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    out = str(tmp_path / "loop" / "out.csv")
    for arguments in ([str(folder), str(path), "--out", out], [str(tmp_path / "loop"), str(path)]):
        assert main(["predict", *arguments]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_a_home_folder_is_found_behind_an_equals_sign(wine, tmp_path, monkeypatch):
    path, folder, _ = wine
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(folder), str(path), "--out=~/out.csv"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    assert main(["predict", str(folder), str(path), "--out", "~nobody-known.csv"]) == 0
    assert (tmp_path / "~nobody-known.csv").exists()
    shutil.copy(path, tmp_path / "data.csv")
    arguments = ["--data=~/data.csv", "--target", "grade", *SMALL, "--quiet"]
    assert main(["train", *arguments, "--out=~/run"]) == 0
    assert load_encoding(tmp_path / "run").options["data"] == str(tmp_path / "data.csv")


def test_of_rows_that_a_network_makes_no_numbers_of_the_first_is_named(wine, tmp_path, capsys):
    folder, table = tmp_path / "run", own_table("wine")
    shutil.copytree(wine[1], folder)
    fields = json.loads((folder / "data.json").read_text())
    column = fields["numbers"][0]["name"]
    (folder / "metrics.json").unlink()  # It knows the files as they were.
    layer = SynchronousGraph.load(folder)
    with torch.no_grad():
        layer.weight.mul_(1e8)
    layer.save(folder)
    table[column] = table[column].astype(float)
    table.loc[4, column] = 1e37
    table.to_csv(tmp_path / "new.csv", index=False)
    assert main(["predict", str(folder), str(tmp_path / "new.csv")]) == 2
    assert "NaN or infinity for row 5" in capsys.readouterr().err
    assert not (folder / "new.predictions.csv").exists()


@pytest.mark.parametrize("is_full", [False, True])
def test_of_two_runs_into_one_folder_none_replaces_the_other(
    wine, tmp_path, capsys, monkeypatch, is_full
):
    # The other is written while this one trains.
    out, place = tmp_path / "run", tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    trained = train_run.run_experiment

    def beside_another(*arguments):
        result = trained(*arguments)
        shutil.copytree(wine[1], out, dirs_exist_ok=True)
        return result

    monkeypatch.setattr(train_run, "run_experiment", beside_another)
    if is_full:
        monkeypatch.setattr(train_run, "_written_elsewhere", lambda _: None)
    before = (wine[1] / "metrics.json").read_text()
    arguments = ["--data", str(wine[0]), "--target", "grade", *SMALL, "--quiet"]
    assert main(["train", *arguments, "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert (out / "metrics.json").read_text() == before
    if is_full:
        assert "with a run in it" in message
        assert "not lost" not in message
        return
    assert re.search(r"with a run in it.* The run is not lost: it is in ", message)
    (kept,) = place.glob("pyg-modules-run-*")
    assert load_run(kept).is_regression is False


def test_columns_with_commas_in_their_names_may_be_categories(tmp_path, capsys):
    table = own_table("wine").assign(**{"size, cm": [1, 2] * 89})
    table.to_csv(tmp_path / "a.csv", index=False)
    command = ["train", "--data", str(tmp_path / "a.csv"), "--target", "grade", *SMALL]
    asked = ["--categories", '"size, cm"', "--out", str(tmp_path / "run")]
    assert main([*command, *asked]) == 0
    (column,) = (
        one for one in load_encoding(tmp_path / "run").categories if one.name == "size, cm"
    )
    assert column.categories == ["1", "2"]
    assert capsys.readouterr().err == ""
