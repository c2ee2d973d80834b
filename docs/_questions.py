"""What users ask first, and the page that answers: one of the first three that a search finds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sphinx.search import languages
from sphinx.util.logging import getLogger

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_SHOWN = 3
_TITLE, _PART_OF_TITLE, _TEXT, _PART_OF_TEXT = 15, 7, 5, 2  # As in Sphinx's searchtools.js.

QUESTIONS = {
    "use my own csv": "guides/your_data",
    "train on csv file": "guides/your_data",
    "predict new data": "guides/faq",
    "regression target": "guides/faq",
    "class weights unbalanced": "guides/faq",
    "imbalanced classes": "guides/faq",
    "validation set": "guides/faq",
    "early stopping": "guides/faq",
    "learning rate optimizer": "guides/faq",
    "batch size": "guides/faq",
    "my own training loop": "guides/faq",
    "pytorch lightning": "guides/lightning",
    "cross-validate": "guides/faq",
    "hyperparameters": "guides/faq",
    "scikit-learn pipeline": "guides/scikit_learn",
    "run on gpu": "guides/faq",
    "several gpus": "guides/faq",
    "save and load model": "guides/faq",
    "use my trained network": "guides/faq",
    "pretrained network": "guides/faq",
    "convert mlp": "guides/network",
    "dropout inside": "guides/faq",
    "node classification": "guides/faq",
    "classify graphs": "guides/faq",
    "images channels": "guides/images",
    "how many modules": "guides/faq",
    "which scope": "guides/faq",
    "which solver": "guides/choose_solver",
    "know it organised itself": "guides/faq",
    "modules are poor": "guides/faq",
    "loss jumps after cut": "guides/faq",
    "loss no longer falls": "guides/faq",
    "plot the modules": "guides/faq",
    "see the modules": "guides/faq",
    "why slow": "guides/faq",
    "out of memory": "guides/faq",
    "loss nan": "guides/faq",
    "reproducible seed": "guides/faq",
    "install from pypi": "install",
    "few edges": "guides/sparse",
    "export onnx": "guides/export",
    "what is a unit": "concepts",
    "to_hetero error": "guides/faq",
}


def pages_found(index: dict[str, Any], question: str) -> list[str]:
    """Pages with all words of a question, in the order in which searchtools.js shows them."""
    english = languages["en"]({})
    words = {word for word in re.findall(r"\w+", question) if word not in english.stopwords}
    scores: list[dict[int, int]] = [_scores(index, english.stem(word)) for word in words]
    found = set.intersection(*map(set, scores))
    best = {page: max(score[page] for score in scores) for page in found}
    for title, places in index["alltitles"].items():
        if question in title.lower() and len(question) >= len(title) / 2:
            for page, _ in places:
                score = round(_TITLE * len(question) / len(title))
                best[page] = max(best.get(page, 0), score + (index["titles"][page] == title))
    order = sorted(best, key=lambda page: (-best[page], index["titles"][page].lower()))
    return [index["docnames"][page].removeprefix("docs/") for page in order]


def _scores(index: dict[str, Any], word: str) -> dict[int, int]:
    scores: dict[int, int] = {}
    for terms, whole, part in (
        ("terms", _TEXT, _PART_OF_TEXT),
        ("titleterms", _TITLE, _PART_OF_TITLE),
    ):
        known = index[terms]
        parts = [] if word in known or len(word) < 3 else [term for term in known if word in term]
        for term, score in [(word, whole), *((term, part) for term in parts)]:
            pages = known.get(term, [])
            scores.update(dict.fromkeys([pages] if isinstance(pages, int) else pages, score))
    return scores


def _check(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.name != "html":
        return
    index = app.builder.indexer.freeze()  # type: ignore[attr-defined]
    for question, page in QUESTIONS.items():
        found = pages_found(index, question)
        if page not in found[:_SHOWN]:
            getLogger(__name__).warning(
                "Expected %s among the first %d pages that a search for %r finds (got %s). Name the"
                " words of the question in a heading there.",
                page,
                _SHOWN,
                question,
                ", ".join(found[:_SHOWN]) or "none",
            )


def setup(app: Sphinx) -> dict[str, Any]:
    """Look for the questions when the pages are built."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
