"""No networks at all: ``python -m benchmarks.accuracy.comparison.classical``.

A linear model and gradient boosting, as scikit-learn has them, on the vectors of the comparison and
the seeds of the first search. Settings are chosen by cross-validation of the training data.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.accuracy.comparison.measure import FIRST_SEED
from benchmarks.accuracy.comparison.problems import PROBLEMS
from benchmarks.accuracy.comparison.results import rows_measured, scores
from benchmarks.accuracy.parallel import run_all
from benchmarks.markdown import table
from benchmarks.options import parse
from pyg_modules._files import write_json
from pyg_modules.experiment.versions import versions

RESULTS = Path(__file__).with_name("classical.json")
#: Those that have no stem; of the sizes of the networks one, as these here have none.
NAMES = ("mnist1d", "optdigits 45", "breast cancer", "wine", "diabetes")
MODELS = {"linear": "linear model", "boosting": "gradient boosting"}
_FOLDS = 5
_GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "linear": {"strength": (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)},
    "boosting": {"learning_rate": (0.03, 0.1, 0.3), "max_leaf_nodes": (4, 8, 31)},
}


def fit_and_score(name: str, model: str, seed: int, data_root: str | None) -> dict[str, Any]:
    """The test score of one model on one problem, and the settings that were chosen."""
    problem, start = PROBLEMS[name], process_time()
    data = problem.load(data_root, seed)
    estimator, grid = _searched(model, is_regression=problem.is_regression)
    scoring = "r2" if problem.is_regression else "accuracy"
    if problem.is_small and not problem.is_regression:
        scoring = "neg_log_loss"
    search = GridSearchCV(estimator, grid, scoring=scoring, cv=_FOLDS)
    search.fit(data.train_x.numpy(), data.train_y.numpy().ravel())
    right = search.best_estimator_.score(data.test_x.numpy(), data.test_y.numpy().ravel())
    settings = {key.split("__")[-1]: value for key, value in search.best_params_.items()}
    return {
        "problem": name,
        "model": model,
        "seed": seed,
        "score": right,
        "settings": settings,
        "seconds": process_time() - start,
    }


def classical(path: Path = RESULTS) -> str:
    """A row per problem: both models, beside the MLP and the unit graph of the comparison."""
    found = json.loads(path.read_text(encoding="utf-8"))["runs"]
    rows = []
    for name in dict.fromkeys(run["problem"] for run in found):
        runs = [
            [run for run in found if (run["problem"], run["model"]) == (name, model)]
            for model in MODELS
        ]
        networks = rows_measured(name)
        runs += [networks[row][0] for row in ("mlp", "free")]
        digits = 3 if PROBLEMS[name].is_regression else 2
        cells = []
        for values in scores(name, runs):
            spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.{digits}f}{spread}")
        rows.append([f"{name}, R²" if PROBLEMS[name].is_regression else name, *cells])
    header = ["test score, %", *MODELS.values(), "tuned MLP", "unit graph, unrolled"]
    return table(header, rows)


def _searched(model: str, *, is_regression: bool) -> tuple[BaseEstimator, dict[str, Any]]:
    """An estimator and the grid of its settings, by their names there."""
    grid = _GRIDS[model]
    if model == "boosting":
        make: Callable[..., BaseEstimator] = (
            HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
        )
        return make(random_state=0), dict(grid)
    strengths = grid["strength"]
    if is_regression:
        return _standardized(Ridge()), {"ridge__alpha": [1 / strength for strength in strengths]}
    return _standardized(LogisticRegression(max_iter=2000)), {"logisticregression__C": strengths}


def _standardized(estimator: BaseEstimator) -> Pipeline:
    return make_pipeline(StandardScaler(), estimator)


def main(arguments: list[str] | None = None) -> None:
    """Fit, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.comparison.classical")
    parser.add_argument("--data-root", metavar="DIR", help="local copies of data sets")
    options = parse(parser, arguments, RESULTS, quick="wine and one seed")
    jobs = []
    for name in ("wine",) if options.quick else NAMES:
        # Where the test data are fixed, seeds change nothing.
        number = PROBLEMS[name].seeds if PROBLEMS[name].is_small and not options.quick else 1
        seeds = range(FIRST_SEED, FIRST_SEED + number)
        jobs += [(name, model, seed, options.data_root) for model in MODELS for seed in seeds]
    runs = run_all(fit_and_score, jobs, quick=options.quick)
    write_json(options.out, {"runs": runs, "versions": versions()})
    print(classical(options.out))


if __name__ == "__main__":
    main()
