"""Sums, differences, products and quotients in a network, of its units and of constants."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from pyg_modules.nn.affine_form import AffineForm

#: What they are called as operators, functions and methods.
ARITHMETIC: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add"), "add"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract, "sub"), "sub"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply, "mul"), "mul"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.divide, "div"), "div"),
}
NEGATIONS = (operator.neg, torch.neg, torch.negative, "neg")

Term = AffineForm | Tensor


def combined(kind: str, left: Term, right: Term, refuse: Callable[[str], NoReturn]) -> AffineForm:
    """What ``left`` and ``right`` are together, one of them of units at least.

    Args:
        kind (str): A value of :data:`ARITHMETIC`.
        left (AffineForm or Tensor): Sums of units, or a constant of each or for all.
        right (AffineForm or Tensor): Likewise.
        refuse (Callable): Raises with a reason, if it is no weighted sum of units.
    """
    if isinstance(left, AffineForm) and isinstance(right, AffineForm):
        if kind in ("mul", "div"):
            refuse("it multiplies units by each other")
        if left.width != right.width:
            refuse(f"its terms are of {left.width} and {right.width} numbers")
        return AffineForm.added([left, right if kind == "add" else right.scaled(-1.0)])
    if isinstance(left, AffineForm):
        form, constant = left, right
    else:
        if not isinstance(right, AffineForm):
            refuse("it makes a constant of constants; make it a buffer")
        form, constant = right, left
    assert isinstance(constant, Tensor)
    if kind == "div" and form is right:
        refuse("it divides by units")
    if kind == "sub":
        constant = -constant if form is left else constant
        form = form if form is left else form.scaled(-1.0)
    if kind == "div":
        constant = 1 / constant
    constant = _of_every_sum(constant, form, refuse)
    return form.shifted(constant) if kind in ("add", "sub") else form.scaled(constant)


def _of_every_sum(constant: Tensor, form: AffineForm, refuse: Callable[[str], NoReturn]) -> Tensor:
    if constant.numel() not in (1, form.width) or constant.shape[:-1].numel() != 1:
        refuse(f"its constant is of shape {list(constant.shape)}, its term of {form.width} numbers")
    if not bool(constant.isfinite().all()):
        refuse("its constant is not finite, or divides by 0")
    return constant.reshape(-1).expand(form.width)
