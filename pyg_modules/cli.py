"""The command line: a thin face over ``experiment`` and ``report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from pyg_modules import __version__
from pyg_modules._checks import check_device
from pyg_modules._files import make_folder
from pyg_modules._safetensors import import_safetensors

if TYPE_CHECKING:
    from pyg_modules.experiment.experiment import ExperimentResult
    from pyg_modules.experiment.progress import Progress

_DESCRIPTION = """\
Train networks whose units form one graph, organise the units into independent
modules, and cut the modules apart.
"""

_TRAIN_DESCRIPTION = """\
Train a unit graph on a data set, organise its hidden units into balanced
modules, cut the modules apart, prove that they are independent, and compare
the result with an MLP of the same size, with the graph left free and with
random modules, all on the same budget.

Written into the folder --out:
  report.html        one page that shows all of it: open it first
  metrics.json       every figure of the run, its settings and versions
  partition.png      the weights between hidden units, before and after
  labels.json        the module of every unit, -1 for units that all share
  config.json        with model.safetensors: the cut network, for
  model.safetensors  SynchronousGraph.load(DIR)
  and what report.html is made of: history.json, analysis.safetensors and the
  networks before the cut, in free/ and regularized/
"""

_REPORT_DESCRIPTION = """\
Write DIR/report.html from what `pyg-modules train --out DIR` wrote: one page
that opens in any browser, without a network.
"""

_EXAMPLES = """\
examples:
  pyg-modules train --out runs/digits
  pyg-modules train --dataset mnist1d --num-modules 8 --seed 1 --out runs/mnist1d
"""

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (sequence of str, optional): Without the program name. (default: ``sys.argv[1:]``)

    Returns:
        int: The exit status: 0, 2 after bad input, 130 after Ctrl-C.
    """
    _print_what_cannot_be_encoded()
    try:
        options = _parser().parse_args(arguments)
        if options.command == "datasets":
            return _datasets()
        if options.command == "report":
            return _report(options)
        return _train(options)
    except KeyboardInterrupt:
        print("pyg-modules: interrupted; no file was written", file=sys.stderr)
        return _INTERRUPTED


def _print_what_cannot_be_encoded() -> None:
    """Let names that the output has no characters for be printed as Python would write them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyg-modules", description=_DESCRIPTION, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pyg-modules {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "datasets", help="list the data sets", description="List the data sets.", allow_abbrev=False
    )
    train = commands.add_parser(
        "train",
        help="train, organise, cut, prove, compare",
        description=_TRAIN_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_train_options(train)
    report = commands.add_parser(
        "report",
        help="write the page that shows a run",
        description=_REPORT_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    report.add_argument("folder", metavar="DIR", type=_folder, help="folder of a run")
    return parser


def _add_train_options(train: argparse.ArgumentParser) -> None:
    from pyg_modules.experiment.experiment_config import ExperimentConfig

    default = {field.name: field.default for field in fields(ExperimentConfig)}

    def add(option: str, kind: type, metavar: str, text: str, *others: str) -> None:
        value = default[option.strip("-").replace("-", "_")]
        train.add_argument(
            option,
            *others,
            type=kind,
            metavar=metavar,
            default=value,
            help=f"{text} (default: {value})",
        )

    train.add_argument(
        "--out", metavar="DIR", type=_folder, required=True, help="folder for the results"
    )
    train.add_argument(
        "--dataset",
        metavar="NAME",
        default="digits",
        help="see `pyg-modules datasets` (default: digits)",
    )
    add("--num-modules", int, "K", "number of modules", "--modules")
    add("--num-hidden", int, "N", "number of hidden units", "--hidden")
    add("--steps", int, "T", "synchronous updates per input")
    add("--epochs", int, "N", "passes over the data until the cut")
    add("--finetune-epochs", int, "N", "passes over the data after the cut")
    add("--ncut", float, "X", "coefficient of the normalized cut in the loss")
    add("--balance", float, "X", "coefficient of the balance of the modules in the loss")
    add("--tolerance", float, "X", "by which share the sizes of modules may differ")
    add("--activation", str, "NAME", "activation of the unit graphs")
    add("--learning-rate", float, "X", "largest learning rate")
    add("--weight-decay", float, "X", "decoupled weight decay")
    add("--batch-size", int, "N", "samples per step")
    add("--seed", int, "N", "seed of everything random")
    add("--device", str, "NAME", "where to compute, e.g. cpu or cuda")
    train.add_argument(
        "--data-root",
        metavar="DIR",
        help="folder with local copies of data sets (default: $PYG_MODULES_DATA, else download)",
    )
    train.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _folder(name: str) -> Path:
    if not name:
        raise argparse.ArgumentTypeError("expected the name of a folder (got an empty one)")
    return Path(name)


def _datasets() -> int:
    from pyg_modules.datasets.named import DATASETS

    for name, info in DATASETS.items():
        print(f"{name:10} {info.description}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from pyg_modules.datasets.named import load_dataset
    from pyg_modules.experiment.experiment import run_experiment
    from pyg_modules.experiment.experiment_config import ExperimentConfig
    from pyg_modules.train.fit import DivergedError

    try:
        config = ExperimentConfig(
            **{field.name: getattr(options, field.name) for field in fields(ExperimentConfig)}
        )
        check_device(config.device)
        data = load_dataset(options.dataset, options.data_root)
        # What is missing must be found out now, not when the training is over.
        import_safetensors()
        from pyg_modules.report.html.libraries import check_report_libraries
        from pyg_modules.report.html.write import write_run_with_report

        check_report_libraries()
        make_folder(options.out)
    except (ImportError, TypeError, ValueError) as error:
        print(f"pyg-modules: error: {error}", file=sys.stderr)
        return 2
    try:
        result = run_experiment(data, config, _progress(options.quiet))
    except DivergedError as error:
        print(f"\npyg-modules: error: {error}", file=sys.stderr)
        return 2
    try:
        report = write_run_with_report(result, options.out)
    except ValueError as error:
        print(f"pyg-modules: error: {error}", file=sys.stderr)
        return 2
    if not options.quiet:
        _summarise(result, report)
    return 0


def _report(options: argparse.Namespace) -> int:
    try:
        from pyg_modules.report.html.write import write_report

        report = write_report(options.folder)
    except (ImportError, ValueError) as error:
        print(f"pyg-modules: error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {report}")
    return 0


def _progress(quiet: bool) -> Progress:
    from pyg_modules.experiment.progress import BarProgress, LineProgress, NoProgress

    if quiet:
        return NoProgress()
    return BarProgress() if sys.stdout.isatty() else LineProgress(sys.stdout)


def _summarise(result: ExperimentResult, report: Path) -> None:
    from pyg_modules.experiment.table import accuracy_table

    independence, ncut = result.independence, result.normalized_cut
    print()
    print(f"open {report}")
    print()
    print(accuracy_table(result))
    print()
    print(f"modules of {', '.join(map(str, result.module_sizes))} hidden units;", end=" ")
    print(f"normalized cut {ncut['free']:.2g} free, {ncut['regularized']:.2g} regularized")
    print(result.verdict)
    print(f"independent: {independence.paths} paths between modules,", end=" ")
    print(f"cross Jacobian {independence.max_cross_jacobian:g},", end=" ")
    print(f"sum of the parts differs by {independence.max_split_difference:.1g}")
    print(f"wrote {report.parent}")
