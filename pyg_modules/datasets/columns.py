"""What the columns of a file hold: numbers, or the names of categories."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

#: The category of what is missing, and what a message calls it.
MISSING = "(missing)"


def numbers_in(column: Any, of_file: str, remedy: str) -> NDArray[numpy.float64]:
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
        row = int(wrong.argmax())
        raise ValueError(
            f"Expected numbers in column {column.name!r} of {of_file} (got {column.iloc[row]!r} in"
            f" row {row + 1}). {remedy}"
        )
    if numpy.isinf(values).any():
        row = int(numpy.isinf(values).argmax())
        raise ValueError(
            f"Expected finite numbers in column {column.name!r} of {of_file} (got"
            f" {column.iloc[row]} in row {row + 1}). Correct it, or leave it empty if it is"
            f" missing."
        )
    return values


def texts_in(column: Any) -> NDArray[numpy.object_]:
    """The names of categories in a column, :data:`MISSING` where they are missing."""
    is_missing = column.isna().to_numpy()
    values = column.to_numpy(dtype=object)
    return numpy.array(
        [
            MISSING if missing else _as_text(value)
            for value, missing in zip(values, is_missing, strict=True)
        ],
        dtype=object,
    )


def parsed(column: Any) -> NDArray[numpy.float64]:
    """The values as numbers, NaN where they are missing or none."""
    import pandas

    values: NDArray[numpy.float64] = pandas.to_numeric(column, errors="coerce").to_numpy(
        dtype=numpy.float64, na_value=numpy.nan
    )
    return values


def is_of_numbers(column: Any) -> bool:
    """Whether more than half of what is not missing are numbers: the others are mistakes then."""
    import pandas

    if pandas.api.types.is_bool_dtype(column):
        return False
    present = int((~column.isna()).sum())
    return 2 * int((~numpy.isnan(parsed(column))).sum()) > present


def shown(names: list[str]) -> str:
    """Names for a message, not more than five."""
    some = ", ".join(map(repr, names[:5]))
    return some if len(names) <= 5 else f"{some} and {len(names) - 5} more"


def _as_text(value: object) -> str:
    """``3.0`` is the category ``3``, in whichever file it stands."""
    try:
        number = float(str(value))
    except ValueError:
        return str(value)
    if isinstance(value, bool | numpy.bool_) or not number.is_integer():
        return str(value)
    return str(int(number)) if abs(number) < 2**53 else str(value)
