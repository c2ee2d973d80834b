"""Which sentences do results not bear? ``python -m benchmarks.accuracy.comparison.claims``.

A sentence of the pages carries what it rests on, in a comment before it, with the names of a table
and of its rows::

    <!-- holds: mnist1d: free > mlp, modules_4 ~ random_4 -->

``>``: better by more than the 95 % interval of the difference; ``>=``: not worse by more than that;
``~``: the interval contains 0, and no difference is seen; ``~1.5``: it lies within 1.5 on either
side, and the rows are level to so much; ``*``: all other rows. With the path of other results, as
of ``--first-seed``, the command says which sentences are the luck of the seeds of the pages.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.accuracy.comparison.results import RESULTS, difference, rows_measured

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", ROOT / "docs" / "evidence" / "accuracy.md")
_MARK = re.compile(r"<!-- holds: (?P<name>[^:]+): (?P<conditions>.+?) -->\n")
_SENTENCE = re.compile(r".+?[.:;](?=\s)", re.DOTALL)
_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda difference, half: difference > half,
    ">=": lambda difference, half: difference >= -half,
    "~": lambda difference, half: abs(difference) <= half,
}


def _is_borne(relation: str, value: float, half: float) -> bool:
    if relation in _HOLDS:
        return _HOLDS[relation](value, half)
    return abs(value) + half <= float(relation.removeprefix("~"))


class Claim(NamedTuple):
    """A sentence and one condition of it.

    Args:
        sentence (str): The text after the mark.
        name (str): The table.
        row (str): The row that something is said of.
        relation (str): ``>``, ``>=``, ``~``, or ``~`` and a number.
        other (str): The row that it is compared with.
    """

    sentence: str
    name: str
    row: str
    relation: str
    other: str

    def __str__(self) -> str:
        return f"{self.name}: {self.row} {self.relation} {self.other}"


def claims(text: str) -> Iterator[Claim]:
    """All claims of a page, in their order.

    Raises:
        ValueError: If a mark cannot be read.
    """
    found = list(_MARK.finditer(text))
    if len(found) != text.count("<!-- holds:"):
        raise ValueError("Expected '<!-- holds: TABLE: ROW > ROW, ... -->' in a line of its own.")
    for mark in found:
        sentence = _SENTENCE.match(_MARK.sub("", text[mark.end() :]))
        for condition in mark["conditions"].split(", "):
            row, relation, other = condition.split(" ")
            words = sentence[0].split() if sentence else []
            yield Claim(" ".join(words), mark["name"], row, relation, other)


def comparisons() -> list[Claim]:
    """All pairs of rows that the pages compare, each once; first those that are said to differ."""
    everything = [
        one
        for page in PAGES
        for claim in claims(page.read_text(encoding="utf-8"))
        for one in _pairs(claim)
    ]
    found: dict[tuple[str, frozenset[str]], Claim] = {}
    for claim in sorted(everything, key=lambda claim: claim.relation != ">"):
        found.setdefault((claim.name, frozenset((claim.row, claim.other))), claim)
    return list(found.values())


def _pairs(claim: Claim) -> list[Claim]:
    """A claim of all other rows as one of each."""
    if claim.row != "*":
        return [claim]
    return [claim._replace(row=row) for row in rows_measured(claim.name) if row != claim.other]


def contradictions(claim: Claim, path: Path = RESULTS) -> list[str] | None:
    """What results have against a claim; None where a row was not measured."""
    measured = rows_measured(claim.name, path)
    rows = [row for row in measured if row != claim.other] if claim.row == "*" else [claim.row]
    if not rows or not {*rows, claim.other} <= measured.keys():
        return None
    found = []
    for row in rows:
        value, half = difference(claim.name, measured[row], measured[claim.other])
        if not _is_borne(claim.relation, value, half):
            found.append(f"{row} - {claim.other}: {value:+.3f} ± {half:.3f}")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print all claims that do not hold; exit with 1 if there is one."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.comparison.claims", description=__doc__
    )
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS, help="the JSON file")
    options = parser.parse_args(arguments)
    failed = unknown = count = 0
    for page in PAGES:
        for claim in claims(page.read_text(encoding="utf-8")):
            count += 1
            found = contradictions(claim, options.results)
            unknown += found is None
            failed += bool(found)
            for measured in found or ():
                print(f"{page.relative_to(ROOT)}: {claim} ({measured}):\n  {claim.sentence}")
    print(f"{count} claims: {failed} do not hold, {unknown} were not measured.")
    sys.exit(int(failed > 0))


if __name__ == "__main__":
    main()
