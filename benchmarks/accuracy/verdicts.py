"""What verdicts said of modules whose inputs are known to be right, or not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from benchmarks.accuracy.additive import __main__ as additive
from benchmarks.accuracy.changing import __main__ as changing
from benchmarks.markdown import table

_WORDS = ("good", "fair", "poor", "indifferent", "unlearned")
_RESULTS = {
    "sums": additive.RESULTS,
    "tasks side by side": changing.RESULTS,
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
    for cell in json.loads(_RESULTS[name].read_text(encoding="utf-8"))["cells"]:
        if cell["model"] != "learned":
            continue
        for run in (*cell["trials"], *cell["runs"]):
            right = run["ari"]
            yield run["word"], _TRUTHS[0 if right > 1 - 1e-9 else 1 if right >= 0.5 else 2]
