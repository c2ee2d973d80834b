"""What the columns of a file hold: numbers, or the names of categories."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy
from numpy.typing import NDArray

from pyg_modules._arrays import Floats

#: The category of what is missing, and what a message calls it.
MISSING = "(missing)"

_LARGEST = float(numpy.finfo(numpy.float32).max)
# Whole numbers, as a file writes them that knows no others.
_INTEGER = re.compile(r"[-+]?\d+")
_WHOLE = re.compile(r"(-?\d+)\.0+")
# Numbers to people: with a comma, a unit of money or a percent sign.
_WRITTEN_NUMBER = r"[$€£]?\s?[-+]?(?:\d+|\d{1,3}(?:[,.' ]\d{3})+)(?:[.,]\d+)?\s?[%$€£]?"


def numbers_in(column: Any, of_file: str, remedy: str) -> Floats:
    """The numbers of a column of a data frame, NaN where they are missing.

    Args:
        column (pandas.Series): Its name is the column's.
        of_file (str): The name of the file, for messages.
        remedy (str): What helps if a value is no number.

    Raises:
        ValueError: If a value is no number, or infinite; the first is named.
    """
    values = parsed(column)
    wrong = numpy.isnan(values) & ~column.isna().to_numpy()
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(
            f"Expected numbers in column {column.name!r} of {of_file} (got {column.iloc[place]!r}"
            f" in row {column.index[place] + 1}). {remedy}"
        )
    check_size(values, column, of_file)
    return values


def check_size(values: NDArray[Any], column: Any, of_file: str, unit: str = "") -> None:
    """Raise unless what became of the values of a column fits into single precision, or is NaN.

    Args:
        values (ndarray): That.
        column (pandas.Series): What is in the file, by the number of the row, from 0.
        of_file (str): The name of the file.
        unit (str, optional): What values count, if not what is in the file.

    Raises:
        ValueError: If a value is too large, or infinite; the first is named.
    """
    too_large = numpy.abs(values) > _LARGEST
    if too_large.any():
        place = int(too_large.argmax())
        raise ValueError(
            f"Expected finite numbers in column {column.name!r} of {of_file} (got"
            f" {column.iloc[place]} in row {column.index[place] + 1}), at most"
            f" {_LARGEST:.2g}{unit}. Correct it, leave it empty if it is missing, or take another"
            f" unit."
        )


def texts_in(column: Any) -> NDArray[numpy.object_]:
    """The names of categories in a column, :data:`MISSING` where they are missing."""
    is_missing = column.isna().to_numpy()
    # As they are: 0.1 in single precision is another number in double.
    values = column.to_numpy() if column.dtype.kind == "f" else column.to_numpy(dtype=object)
    return numpy.array(
        [
            MISSING if missing else _as_text(value)
            for value, missing in zip(values, is_missing, strict=True)
        ],
        dtype=object,
    )


def number_texts_in(column: Any) -> NDArray[numpy.object_]:
    """The same of numbers that name categories: ``0.50`` and ``5e-1`` are the category ``0.5``."""
    texts = texts_in(column)
    numbers = parsed(column)
    for place in numpy.flatnonzero(numpy.isfinite(numbers)):
        number = as_number(texts[place])
        # Of booleans there are numbers, and texts that are none.
        texts[place] = _as_text(numbers[place] if number is None else float(number))
    return texts


def decimals_like(names: NDArray[numpy.object_], known: Sequence[str]) -> NDArray[numpy.object_]:
    """Names, of which ``0.50`` and ``5e-1`` are called as the one known name that is as much.

    So is a number that a file has in single precision; ``03`` is no ``3``.
    """
    doubles: dict[float, str | None] = {}
    singles: dict[float, str | None] = {}
    for name in known:
        if (number := as_number(name)) is not None:
            for place, value in ((doubles, float(number)), (singles, _in_single(number))):
                place[value] = None if value in place else name  # Several are as much.
    called: dict[str, str] = {}
    for name in set(names) - set(known):
        number = None if _INTEGER.fullmatch(name) else as_number(name)
        if number is not None:
            value = float(number)
            like = doubles.get(value) or singles.get(value) or doubles.get(_in_single(number))
            called[name] = like or name
    return numpy.array([called.get(name, name) for name in names], dtype=object)


def _in_single(number: Decimal) -> float:
    """What single precision makes of a number."""
    with numpy.errstate(over="ignore"):
        return float(numpy.float32(float(number)))


def as_number(name: str) -> Decimal | None:
    """The number that a text is, if it is a finite one."""
    try:
        number = Decimal(name)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def parsed(column: Any) -> Floats:
    """The values as numbers, NaN where they are missing or none."""
    import pandas

    values: Floats = pandas.to_numeric(column, errors="coerce").to_numpy(
        dtype=numpy.float64, na_value=numpy.nan
    )
    return values


def is_of_numbers(column: Any) -> bool:
    """Whether more than half of what is not missing are numbers, also if written as ``1,5 %``.

    Those that cannot be read as numbers are mistakes then.
    """
    import pandas

    kind = pandas.api.types.infer_dtype(column, skipna=True)
    if kind in ("boolean", "categorical"):
        return False
    is_number = ~numpy.isnan(parsed(column))
    if kind == "string":
        is_number |= (
            column.str.strip()
            .str.fullmatch(_WRITTEN_NUMBER)
            .eq(True)
            .to_numpy(bool, na_value=False)
        )
    return 2 * int(is_number.sum()) > int(column.notna().sum())


def shown(names: list[str]) -> str:
    """Names for a message, not more than five."""
    some = ", ".join(map(repr, names[:5]))
    return some if len(names) <= 5 else f"{some} and {len(names) - 5} more"


def _as_text(value: object) -> str:
    """``3.0`` is the category ``3``, in whichever file it stands; ``03`` is another."""
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text
