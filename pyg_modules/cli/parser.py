"""Commands and options; nothing is imported here that takes time."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from pyg_modules import __version__
from pyg_modules.experiment.experiment_config import ExperimentConfig

_DESCRIPTION = """\
Train networks whose units form one graph, organise the units into independent
modules, and cut the modules apart.
"""

_TRAIN_DESCRIPTION = """\
Train a unit graph on a data set or on a file of your own, organise its units
into balanced modules, cut the modules apart, prove that they are independent,
and compare the result with an MLP of the same size, with the graph left free
and with random modules, all on the same budget.

A file has a row per sample and names of columns in its first line: numbers,
booleans or texts, with empty cells where something is missing. Numbers are
scaled, texts become categories, and what was done is said. --target names the
column to predict; a fifth of the rows is kept to test on, or --test FILE.

Written into the folder --out:
  report.html        one page that shows all of it: open it first
  metrics.json       every figure of the run, its settings and versions
  partition.png      the weights between hidden units, before and after
  labels.json        the module of every unit, -1 for units that all share
  config.json        with model.safetensors: the cut network, for
  model.safetensors  SynchronousGraph.load(DIR)
  data.json          of a file: how its rows become inputs, for predictions
  and what report.html is made of: history.json, analysis.safetensors and the
  networks before the cut, in free/ and regularized/
"""

_REPORT_DESCRIPTION = """\
Write DIR/report.html from what `pyg-modules train --out DIR` wrote: one page
that opens in any browser, without a network. Of another network that was
trained on a file, such as one that `pyg-modules partition` wrote: with --data.
"""

_PREDICT_DESCRIPTION = """\
Predict the target for every row of FILE with the network that
`pyg-modules train --data ... --out DIR` wrote. FILE has the columns of the
training data; the target may be missing. If it is there, the score is printed.
"""

_PARTITION_DESCRIPTION = """\
Read balanced modules off the weights of a network that is not cut, such as
DIR/free of a run, and write it, cut into them, to --out.
"""

_EXPORT_DESCRIPTION = """\
Write every module of a cut network into a file of its own, for programs that
know nothing of this package; manifest.json says how their outputs add up.
"""

_SCOPE = (
    "units that modules have of their own: hidden; inputs, which adds the inputs; or all, which"
    " adds the outputs, too"
)

_EXAMPLES = """\
examples:
  pyg-modules train --out runs/digits
  pyg-modules train --dataset mnist1d --num-modules 8 --seed 1 --out runs/mnist1d
  pyg-modules train --data wine.csv --target class --out runs/wine
  pyg-modules predict runs/wine new.csv --out predictions.csv
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; ``run`` of what it returns is the command."""
    parser = argparse.ArgumentParser(
        prog="pyg-modules", description=_DESCRIPTION, epilog=_EXAMPLES, **_FORM
    )
    parser.add_argument("--version", action="version", version=f"pyg-modules {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, description: str, run: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name, help=text, description=description, **_FORM
        )
        command.set_defaults(run=_later(run))
        return command

    train = add(
        "train", "train, organise, cut, prove, compare", _TRAIN_DESCRIPTION, "train_run.train"
    )
    train.epilog = _EXAMPLES
    _add_train_options(train)
    report = add("report", "write the page that shows a run", _REPORT_DESCRIPTION, "saved.report")
    report.add_argument("folder", metavar="DIR", type=_path, help="folder of a run, or a network")
    report.add_argument(
        "--data", metavar="FILE", type=_path, help="of a network that is no run: what to measure on"
    )
    predict = add("predict", "predict with a network", _PREDICT_DESCRIPTION, "predict_file.predict")
    predict.add_argument("folder", metavar="DIR", type=_path, help="folder of a run")
    predict.add_argument("file", metavar="FILE", type=_path, help=".csv, .parquet or .npz")
    predict.add_argument(
        "--out",
        metavar="CSV",
        type=_path,
        help="where the predictions go (default: DIR/NAME.predictions.csv, of FILE's name)",
    )
    partition = add("partition", "cut a trained network", _PARTITION_DESCRIPTION, "saved.partition")
    partition.add_argument("folder", metavar="DIR", type=_path, help="folder of a network")
    partition.add_argument(
        "--num-modules",
        "--modules",
        metavar="K",
        type=int,
        default=ExperimentConfig.num_modules,
        help=f"number of modules (default: {ExperimentConfig.num_modules})",
    )
    partition.add_argument(
        "--scope",
        metavar="NAME",
        default=ExperimentConfig.scope,
        help=f"{_SCOPE} (default: {ExperimentConfig.scope})",
    )
    _add_out(partition)
    export = add("export", "write modules for others", _EXPORT_DESCRIPTION, "saved.export")
    export.add_argument("folder", metavar="DIR", type=_path, help="folder of a cut network")
    export.add_argument(
        "--format",
        metavar="NAME",
        default="onnx",
        help="onnx, or pt2 for torch.export.load (default: onnx)",
    )
    _add_out(export)
    add("datasets", "list the data sets", "List the data sets.", "saved.datasets")
    return parser


_FORM: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}


def _later(name: str) -> Callable[[argparse.Namespace], None]:
    """The function ``name`` of a file of this folder, imported when it is called."""

    def run(options: argparse.Namespace) -> None:
        file, function = name.split(".")
        getattr(import_module(f"pyg_modules.cli.{file}"), function)(options)

    return run


def _add_out(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", metavar="DIR", type=_path, required=True, help="folder for the results"
    )
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the result of this kind that is in --out already, all of it",
    )


def _add_train_options(train: argparse.ArgumentParser) -> None:
    default = {field.name: field.default for field in fields(ExperimentConfig)}

    def add(option: str, kind: Callable[[str], Any], metavar: str, text: str, *others: str) -> None:
        value = default[option.strip("-").replace("-", "_")]
        train.add_argument(
            option,
            *others,
            type=kind,
            metavar=metavar,
            default=value,
            help=f"{text} (default: {value})",
        )

    _add_out(train)
    train.add_argument(
        "--dataset", metavar="NAME", help="see `pyg-modules datasets` (default: digits)"
    )
    train.add_argument(
        "--data",
        metavar="FILE",
        type=os.path.expanduser,
        help="data of your own: .csv, .parquet, or .npz with x and y",
    )
    train.add_argument(
        "--test",
        metavar="FILE",
        type=os.path.expanduser,
        help="rows to test on (default: a fifth of --data)",
    )
    train.add_argument("--target", metavar="COLUMN", help="the column of --data to predict")
    train.add_argument(
        "--task", metavar="NAME", help="classification or regression (default: found out)"
    )
    train.add_argument(
        "--categories",
        metavar="COLUMNS",
        help="columns that are names, though written as numbers, as a row of a CSV: A,B,C",
    )
    add(
        "--num-modules",
        _num_modules,
        "K",
        "number of modules, or auto: as many as good",
        "--modules",
    )
    add("--scope", str, "NAME", _SCOPE)
    add("--num-hidden", int, "N", "number of hidden units", "--hidden")
    add("--steps", int, "T", "synchronous updates per input")
    add("--epochs", int, "N", "passes over the data until the cut")
    add("--finetune-epochs", int, "N", "passes over the data after the cut")
    add("--ncut", float, "X", "coefficient of the normalized cut in the loss")
    add("--balance", float, "X", "coefficient of the balance of the modules in the loss")
    add(
        "--tolerance",
        float,
        "X",
        "by which share the sizes of modules may differ, of all units that they have",
    )
    add("--activation", str, "NAME", "activation of the unit graphs")
    add("--learning-rate", float, "X", "largest learning rate")
    add("--weight-decay", float, "X", "decoupled weight decay")
    add("--batch-size", int, "N", "samples per step")
    add("--seed", int, "N", "seed of everything random")
    train.add_argument(
        "--seeds",
        metavar="N",
        type=int,
        default=1,
        help="train so many times, from --seed on, and show mean and spread (default: 1)",
    )
    train.add_argument(
        "--random-cut",
        action="store_true",
        help="compare also with the organised network, cut at random instead",
    )
    add("--device", str, "NAME", "where to compute, e.g. cpu or cuda; auto: CUDA if there is one")
    train.add_argument(
        "--data-root",
        metavar="DIR",
        type=_path,
        help="folder with local copies of data sets (default: $PYG_MODULES_DATA, else download)",
    )
    train.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _num_modules(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or auto (got {text!r})") from None


def _path(name: str) -> Path:
    if not name:
        raise argparse.ArgumentTypeError("expected a name (got an empty one)")
    # Shells leave ~ after =, and nobody wants a folder of that name. That of nobody stays.
    return Path(os.path.expanduser(name))
