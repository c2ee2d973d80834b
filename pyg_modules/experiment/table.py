from __future__ import annotations

from pyg_modules.experiment.experiment import MODELS, ExperimentResult


def accuracy_table(result: ExperimentResult) -> str:
    """The accuracies of a run as text, a line per model."""
    width = max(map(len, MODELS.values()))
    lines = [f"{'':{width}}  test accuracy  parameters"]
    for name, meaning in MODELS.items():
        lines.append(
            f"{meaning:{width}}  {result.test_accuracy[name]:13.2%}"
            f"  {result.num_parameters[name]:10,}"
        )
    return "\n".join(lines)
