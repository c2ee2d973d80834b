"""What verdicts said of modules whose inputs are known to be right, or not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import product

from benchmarks.accuracy.additive import __main__ as additive
from benchmarks.accuracy.changing import __main__ as changing
from benchmarks.accuracy.recipes import SEEDS, TRIAL_SEEDS
from benchmarks.markdown import table

_WORDS = ("good", "fair", "poor", "indifferent", "unlearned")
_RESULTS = {
    "sums": (additive.RESULTS, additive.TRIED),
    "tasks side by side": (changing.RESULTS, changing.TRIED),
}
_TRUTHS = ("all inputs as true", "ARI of 0.5 and more", "less")


def verdicts() -> str:
    """A row per word and benchmark, a column for how right the modules were."""
    rows = []
    for name in _RESULTS:
        found = Counter(_words(name))
        rows += [
            [name, f'`"{word}"`', *(str(found[word, truth]) for truth in _TRUTHS)]
            for word in _WORDS
            if any(found[word, truth] for truth in _TRUTHS)
        ]
    return table(["learned modules", "the verdict", *_TRUTHS], rows)


def _words(name: str) -> Iterator[tuple[str, str]]:
    """The word and the truth of every training with learned modules, trials too."""
    path, tried = _RESULTS[name]
    trainings = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        task, model = cell["task"], cell["model"]
        if model.startswith("learned"):
            best = cell["way"], cell["rate"]
            jobs = [*product(tried[task, model], TRIAL_SEEDS)][: len(cell["trials"])]
            jobs += product([best], SEEDS)
            # Of one recipe and seed, what is known at first is that of before the changes.
            for job, run in zip(jobs, (*cell["trials"], *cell["runs"]), strict=True):
                training = task, *job
                trainings[training] = run
    for run in trainings.values():
        right = run["ari"]
        yield run["word"], _TRUTHS[0 if right > 1 - 1e-9 else 1 if right >= 0.5 else 2]
