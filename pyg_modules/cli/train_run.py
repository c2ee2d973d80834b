"""``pyg-modules train``."""

from __future__ import annotations

import csv
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from pyg_modules._checks import as_int, check_device
from pyg_modules._files import make_folder
from pyg_modules._safetensors import import_safetensors
from pyg_modules.cli.endings import Refused, refusals, uninterrupted
from pyg_modules.cli.owned_names import print_owned_names
from pyg_modules.cli.places import RUN, check_free
from pyg_modules.datasets.dataset import Dataset
from pyg_modules.datasets.file_data import load_file
from pyg_modules.datasets.named import load_dataset
from pyg_modules.experiment.experiment import ExperimentResult, check_units, run_experiment
from pyg_modules.experiment.experiment_config import ExperimentConfig
from pyg_modules.experiment.progress import BarProgress, LineProgress, NoProgress, Progress
from pyg_modules.experiment.run_folder import write_run
from pyg_modules.experiment.score import score_name
from pyg_modules.experiment.table import score_table
from pyg_modules.report.html.numbers import small
from pyg_modules.report.owned_units import sizes_in_words
from pyg_modules.train.fit import DivergedError

_OF_FILES = ("test", "target", "task", "categories")


def train(options: Namespace) -> None:
    """Train, and write what came out, after every seed.

    Raises:
        Refused: If something is wrong with the options, the data or the folder, or the training
            diverges.
    """
    with refusals():
        config = ExperimentConfig(
            **{field.name: getattr(options, field.name) for field in fields(ExperimentConfig)}
        )
        num_seeds = as_int("seeds", options.seeds, smallest=1)
        replace(config, seed=config.seed + num_seeds - 1)  # The last one has to be one, too.
        check_device(config.device)
        check_free(options.out, RUN, overwrite=options.overwrite)
        data = _data(options)
        check_units(data, config)
        # What is missing must be found out now, not when the training is over.
        import_safetensors()
        from pyg_modules.report.html.libraries import check_report_libraries

        check_report_libraries()
        make_folder(options.out)
    if not options.quiet:
        print(f"computing on {config.device}")
        for note in data.encoding.notes if data.encoding else ():
            print(f"data: {note}")
    result = None
    try:
        for seed in range(config.seed, config.seed + num_seeds):
            if num_seeds > 1 and not options.quiet:
                print(f"seed {seed}, {seed - config.seed + 1} of {num_seeds}")
            of_seed = run_experiment(data, replace(config, seed=seed), _progress(options.quiet))
            if num_seeds > 1 and config.num_modules == "auto" and not options.quiet:
                print(f"found {of_seed.num_modules} modules")
            if result is not None:
                others = [*result.other_seeds, of_seed.test_score]
                of_seed = replace(
                    result, other_seeds=others, seconds=result.seconds + of_seed.seconds
                )
            with uninterrupted(_kept(of_seed, options.out).strip()):
                # Of several seeds, the run that is there is that of the first ones.
                report = _write(of_seed, options.out, replaces=options.overwrite or result)
                result = of_seed
        assert result is not None
        if not options.quiet:
            _summarise(result, report, len(data.test_y))
    except DivergedError as error:
        raise Refused(f"{error}{_kept(result, options.out)}") from error
    except KeyboardInterrupt:
        kept = _kept(result, options.out).strip() or "no file was written"
        raise KeyboardInterrupt(kept) from None


def _data(options: Namespace) -> Dataset:
    if options.data is None:
        given = [f"--{name}" for name in _OF_FILES if getattr(options, name) is not None]
        if given:
            raise ValueError(
                f"Expected --data FILE (got {', '.join(given)} without it). Name the file, or leave"
                f" {'it' if len(given) == 1 else 'them'} out."
            )
        return load_dataset(options.dataset or "digits", options.data_root)
    if options.dataset is not None:
        raise ValueError(
            f"Expected --dataset NAME or --data FILE (got both, {options.dataset} and"
            f" {options.data}). Leave one out."
        )
    # As a row of a CSV: names may have commas in them.
    names = next(csv.reader([options.categories or ""], skipinitialspace=True), [])
    return load_file(
        options.data,
        options.test,
        target=options.target,
        task=options.task,
        categories=[name for name in names if name.strip()],
    )


def _write(result: ExperimentResult, out: Path, *, replaces: object) -> Path:
    """Write the run to ``out``; if that fails, to another place, which is said."""
    from pyg_modules.report.html.write import write_run_with_report

    try:
        # Another run may have been written there while this one trained.
        check_free(out, RUN, overwrite=bool(replaces))
    except ValueError as error:
        for write in (write_run_with_report, write_run):
            if folder := _written_elsewhere(partial(write, result)):
                raise Refused(f"{error} The run is not lost: it is in {folder}.") from error
        raise Refused(str(error)) from error
    try:
        return write_run_with_report(result, out)
    except ValueError as error:
        if folder := _written_elsewhere(partial(write_run_with_report, result)):
            raise Refused(f"{error} The run is not lost: it is in {folder}.") from error
        without_page = partial(write_run, result)
        if folder := _written(without_page, out) or _written_elsewhere(without_page):
            raise Refused(
                f"{error} The run is not lost: it is in {folder}, without its page, which"
                f" pyg-modules report {folder} makes."
            ) from error
        raise Refused(str(error)) from error
    except Exception:
        write_run(result, out)  # Its page can be made again.
        raise


def _written_elsewhere(write: Callable[[Path], object]) -> Path | None:
    """The folder of temporary files, or of the user, that has what ``write`` writes, if one can."""
    for place in (tempfile.gettempdir(), Path.home()):
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="pyg-modules-run-", dir=place))
            if _written(write, folder):
                return folder
            folder.rmdir()
    return None


def _written(write: Callable[[Path], object], folder: Path) -> Path | None:
    with suppress(OSError, ValueError):
        write(folder)
        return folder
    return None


def _kept(result: ExperimentResult | None, out: Path) -> str:
    """What is written already, of several seeds."""
    if result is None:
        return ""
    seeds = len(result.other_seeds) + 1
    return f" the result of {seeds} seed{'s' if seeds > 1 else ''} is in {out}"


def _progress(quiet: bool) -> Progress:
    if quiet:
        return NoProgress()
    return BarProgress() if sys.stdout.isatty() else LineProgress(sys.stdout)


def _summarise(result: ExperimentResult, report: Path, num_test: int) -> None:
    independence, ncut = result.independence, result.normalized_cut
    print()
    print(f"open {report}")
    print()
    print(score_table(result))
    print()
    if result.other_seeds:
        print(
            f"mean ± standard deviation of {len(result.other_seeds) + 1} seeds, the first of which"
            f" is what follows and what the report shows;"
        )
    elif result.is_regression:
        print(f"one seed, {num_test:,} test samples; --seeds N shows mean and spread;")
    else:
        print(
            f"one seed, and one of {num_test:,} test samples is {small(100 / num_test)} points of"
            f" {score_name(is_regression=False)}; --seeds N shows mean and spread;"
        )
    sizes = sizes_in_words(result.finetuned.graph, result.labels)
    print(f"{result.num_modules} modules of {sizes};", end=" ")
    print(f"normalized cut {ncut['free']:.2g} free, {ncut['regularized']:.2g} regularized")
    print_owned_names(result.encoding, result.finetuned.graph, result.labels)
    print(result.verdict)
    print(f"independent: {independence.paths} paths between modules,", end=" ")
    print(f"cross Jacobian {independence.max_cross_jacobian:g},", end=" ")
    print(f"sum of the parts differs by {independence.max_split_difference:.1g}")
    print(f"wrote {report.parent}")
