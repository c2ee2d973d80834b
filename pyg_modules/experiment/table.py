from __future__ import annotations

from statistics import mean, stdev

from pyg_modules.experiment.experiment import ExperimentResult
from pyg_modules.experiment.score import score_name, shown_score


def score_table(result: ExperimentResult) -> str:
    """The test scores of a run as text, a line per model; of several seeds, mean and spread."""
    width = max(map(len, result.rows.values()))
    title = f"test {score_name(is_regression=result.is_regression)}"
    lines = [f"{'':{width}}  {title:>15}  parameters"]
    for name, meaning in result.rows.items():
        lines.append(
            f"{meaning:{width}}  {score_of_seeds(result, name):>15}"
            f"  {result.num_parameters[name]:10,}"
        )
    return "\n".join(lines)


def score_of_seeds(result: ExperimentResult, name: str) -> str:
    """The score of a model; of several seeds, the mean and the standard deviation."""
    scores = [seed[name] for seed in (result.test_score, *result.other_seeds)]
    text = shown_score(mean(scores), is_regression=result.is_regression)
    if len(scores) == 1:
        return text
    spread = shown_score(stdev(scores), is_regression=result.is_regression)
    return f"{text.removesuffix('%')} ± {spread}"
