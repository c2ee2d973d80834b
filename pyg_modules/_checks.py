"""Checks of arguments that more than one room needs."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from numbers import Integral, Real
from typing import Any, Literal

import torch
from torch import Tensor

from pyg_modules._brief import brief

_LARGEST = 2**63 - 1  # What torch and NumPy have place for.


def as_int(name: str, value: object, smallest: int, largest: int = _LARGEST) -> int:
    """``value`` as an int, from any integer type, e.g. NumPy's.

    Raises:
        TypeError: If ``value`` is not an integer.
        ValueError: If ``value`` is less than ``smallest`` or more than ``largest``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        found = f"{type(value).__name__}: {brief(value)}"
        raise TypeError(f"Expected {name} to be an int (got {found}). Give a whole number.")
    number = int(value)
    if number < smallest:
        raise ValueError(f"Expected {name} >= {smallest} (got {brief(number)}). Raise it.")
    if number > largest:
        raise ValueError(f"Expected {name} <= {largest} (got {brief(number)}). Lower it.")
    return number


def as_coefficient(name: str, value: object) -> float:
    """``value`` as a finite float that is not negative, from any real type, e.g. NumPy's.

    Raises:
        TypeError: If ``value`` is not a number.
        ValueError: If ``value`` is negative, infinite or NaN.
    """
    number = _as_float(name, value)
    if not 0 <= number < inf:
        raise ValueError(
            f"Expected a finite {name} >= 0 (got {value}). Give 0 or a positive number."
        )
    return number


def _as_float(name: str, value: object) -> float:
    """``value`` as a float, from any real type."""
    real = _as_real(name, value)
    try:
        return float(real)
    except OverflowError:
        raise ValueError(
            f"Expected {name} to fit into a float (got one that does not). Lower it."
        ) from None


def as_share(name: str, value: object) -> float:
    """``value`` as a float in [0, 1].

    Raises:
        TypeError: If ``value`` is not a number.
        ValueError: If ``value`` is out of range, or NaN.
    """
    number = _as_real(name, value)  # Other real types than floats are compared as they are.
    if not 0 <= number <= 1:
        raise ValueError(
            f"Expected {name} in [0, 1] (got {value}). Give a share, not a percentage or a count."
        )
    return float(number)


def _as_real(name: str, value: object) -> Any:
    """``value``, if it is a real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"Expected {name} to be a number (got {type(value).__name__}: {brief(value)})."
            " Give one, e.g. 0.1."
        )
    return value


def as_learning_rate(value: object) -> float:
    """``value`` as a learning rate, with which something is learned.

    Raises:
        TypeError: If ``value`` is not a number.
        ValueError: If ``value`` is 0 or less, infinite or NaN.
    """
    rate = _as_float("learning_rate", value)
    if not 0 < rate < inf:
        raise ValueError(
            f"Expected a finite learning_rate > 0 (got {value}). Give a positive number, e.g. 0.01."
        )
    return rate


def check_state(kind: str, state: object, names: Iterable[str]) -> None:
    """Raise unless ``state`` is a dict with these ``names``, the state of a ``kind``.

    Raises:
        TypeError: If ``state`` is no dict.
        ValueError: If a name is missing, as from the state of something else.
    """
    remedy = f"Give what state_dict() of a {kind} returned."
    if not isinstance(state, dict):
        raise TypeError(
            f"Expected the state of a {kind}, a dict (got {type(state).__name__}). {remedy}"
        )
    if missing := [name for name in names if name not in state]:
        raise ValueError(
            f"Expected the state of a {kind} (got one without"
            f" {', '.join(map(repr, missing))}). {remedy}"
        )


def check_generator(generator: object) -> None:
    """Raise a ``TypeError`` unless ``generator`` is one of torch, or ``None``."""
    if generator is None or isinstance(generator, torch.Generator):
        return
    seed = generator if isinstance(generator, Integral) else "seed"
    raise TypeError(
        f"Expected generator to be a torch.Generator (got {type(generator).__name__}:"
        f" {brief(generator)}). Use torch.Generator().manual_seed({seed})."
    )


def check_bool(name: str, value: object) -> None:
    """Raise a ``TypeError`` unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(
            f"Expected {name} to be a bool (got {type(value).__name__}: {brief(value)}). Give True"
            f" or False."
        )


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise a ``ValueError`` unless ``value`` is one of the ``choices``."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"Expected {name} to be one of {', '.join(map(repr, known))} (got {brief(value)})."
            f" Choose one of these."
        )


def check_plain(name: str, value: Tensor, *, instead_of_sparse: str = "{name}.to_dense()") -> None:
    """Raise a ``TypeError`` unless ``value`` is a dense tensor, all of it here."""
    if value.is_nested:
        padded = f"torch.nested.to_padded_tensor({name}, 0.0)"
        got, remedy = "a nested one", f"{padded}, or {name}.values() of a jagged one"
    elif value.layout != torch.strided:
        remedy = instead_of_sparse.format(name=name)
        got = f"one of layout {value.layout}"
    elif value.is_quantized:
        got, remedy = f"a quantized one, {value.dtype}", f"{name}.dequantize()"
    elif hasattr(value, "full_tensor"):
        got, remedy = "a DTensor", f"{name}.full_tensor()"
    else:
        return
    raise TypeError(f"Expected {name} to be a plain, dense Tensor (got {got}). Use {remedy}.")


def check_values(name: str, value: Tensor) -> None:
    """Raise unless ``value`` is a dense tensor whose values can be looked at.

    Raises:
        TypeError: If it is not plain.
        ValueError: If it is on ``meta``.
    """
    check_plain(name, value)
    if value.is_meta:
        raise ValueError(
            f"Expected {name} with values (got it on device meta). Make it on another device."
        )


def check_num_modules(num_modules: int, num_hidden: int) -> None:
    """Raise a ``ValueError`` if there are more modules than hidden units."""
    if num_modules > num_hidden:
        raise ValueError(
            f"Expected num_modules <= num_hidden, a unit per module at least (got {num_modules} >"
            f" {num_hidden}). Lower num_modules or raise num_hidden."
        )


def as_num_modules(value: object, num_hidden: int) -> int | Literal["auto"]:
    """``value`` as a number of modules, from 2 to ``num_hidden``, or ``"auto"``.

    Raises:
        TypeError: If ``value`` is neither an integer nor a text.
        ValueError: If ``value`` is another text, or out of range.
    """
    if isinstance(value, str):
        if value == "auto":
            return "auto"
        raise ValueError(
            f"Expected num_modules to be an int or 'auto' (got {brief(value)})."
            " Say how many, or num_modules='auto'."
        )
    num_modules = as_int("num_modules", value, smallest=2)
    check_num_modules(num_modules, num_hidden)
    return num_modules


def chosen_device(device: str) -> str:
    """``device``, and for ``"auto"`` CUDA where there is one, else the CPU."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_dtype(dtype: object) -> None:
    """Raise a ``TypeError`` unless ``dtype`` is a floating type, or ``None``."""
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        return
    raise TypeError(
        f"Expected dtype to be a floating type (got {brief(dtype)}). Use e.g. torch.float32."
    )


def check_device(device: torch.device | str, *, computes: bool = True) -> None:
    """Raise a ``ValueError`` unless ``device`` is there and, unlike ``meta``, ``computes``."""
    try:
        made = torch.zeros(1, device=device)
        if computes:
            made.cpu()
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"Expected an available device, such as 'cpu' (got {brief(device)}: {reason})."
            " Use another, or install a torch that has it."
        ) from None
