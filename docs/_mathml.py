"""Equations as MathML, which browsers render by themselves: no script, and no network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math import latex2mathml

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


def _mathml(node: nodes.Node, as_block: bool) -> str:
    source = node.astext()
    # docutils wants to know which delimiters open and which close, and calls dots by another name.
    known = re.sub(r"\\([bB]igg?)\s*([(\[])", r"\\\1l\2", source)
    known = re.sub(r"\\([bB]igg?)\s*([)\]])", r"\\\1r\2", known)
    known = re.sub(r"\\dots\b", r"\\ldots", known)
    try:
        return str(latex2mathml.tex2mathml(known, as_block=as_block))
    except Exception as error:
        raise ValueError(
            f"Expected an equation that docutils can turn into MathML (got {source!r}: {error})."
        ) from error


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
