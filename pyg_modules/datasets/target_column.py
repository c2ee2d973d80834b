"""What is to be predicted: classes, or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy
from numpy.typing import NDArray

from pyg_modules._arrays import Floats, Ints
from pyg_modules.datasets.columns import (
    as_number,
    decimals_like,
    is_of_numbers,
    numbers_in,
    shown,
    texts_in,
)

TASKS = ("classification", "regression")
_MOST_CLASSES = 20


@dataclass(frozen=True)
class TargetColumn:
    """The targets of a file.

    Args:
        values (ndarray): Classes, int64, or numbers, float64; ``[num_rows]``.
        classes (list of str, optional): The names of the classes; none of a regression.
        note (str): What it was taken for, and how to say otherwise.
    """

    values: NDArray[Any]
    classes: list[str] | None
    note: str


def read_target(column: Any, of_file: str, task: str | None) -> TargetColumn:
    """The targets in a column of a data frame.

    Args:
        column (pandas.Series): Its name is the column's.
        of_file (str): The name of its file, for messages.
        task (str, optional): One of :data:`TASKS`. (default: found out)

    Raises:
        ValueError: If a value is missing, or there is nothing to learn.
    """
    _check_none_missing(column, of_file)
    name, num_rows = column.name, len(column)
    of_numbers = is_of_numbers(column)
    if task == "regression" or (of_numbers and task is None and not _are_classes(column)):
        remedy = "Correct it, or take --task classification."
        numbers = numbers_in(column, of_file, remedy)
        if task is None and _are_row_numbers(numbers):
            raise ValueError(
                f"Expected a target that depends on the other columns (got column {name!r} of"
                f" {of_file}, with each of {num_rows:,} numbers in a row once, as numbers of rows"
                f" are). Name another column by --target, or say --task regression."
            )
        _check_differ(len(set(numbers.tolist())), column, of_file)
        return TargetColumn(
            numbers,
            None,
            f"target {name!r}: numbers, a regression (--task classification takes them for"
            f" classes)",
        )
    names = texts_in(column)
    if of_numbers and task is None:
        names = _one_name_each(names)
    classes = sorted(set(names), key=_by_number_or_name)
    _check_differ(len(classes), column, of_file)
    if len(classes) == num_rows:
        raise ValueError(
            f"Expected classes that several rows have (got {num_rows:,} different values in"
            f" {num_rows:,} rows of column {name!r} of {of_file}). Name another column by --target,"
            f" or, for numbers, say --task regression."
        )
    otherwise = " (--task regression takes them for numbers)" if of_numbers else ""
    return TargetColumn(
        class_numbers(names, classes),
        classes,
        f"target {name!r}: {len(classes)} classes, {shown(classes)}{otherwise}",
    )


def read_target_like(column: Any, of_file: str, classes: list[str] | None) -> Floats | Ints:
    """The targets of another file, in the classes of the training data.

    Raises:
        ValueError: If a value is missing, or a class is new.
    """
    _check_none_missing(column, of_file)
    if classes is None:
        return numbers_in(column, of_file, "Correct it, or leave the row out.")
    names = _named_like(texts_in(column), classes)
    if column.dtype.kind == "f":  # In a text, 1.10 may be another class than 1.1.
        names = decimals_like(names, classes)
    new = ~numpy.isin(names.astype(str), classes)
    if new.any():
        row = int(new.argmax())
        raise ValueError(
            f"Expected the classes of the training data, {shown(classes)}, in column"
            f" {column.name!r} of {of_file} (got {names[row]!r} in row {row + 1}). Correct it, or"
            f" leave the row out; or, to predict, the column."
        )
    return class_numbers(names, classes)


def class_numbers(names: NDArray[numpy.object_], classes: list[str]) -> Ints:
    """The place of every name among the classes."""
    place = {name: number for number, name in enumerate(classes)}
    return numpy.array([place[name] for name in names], dtype=numpy.int64)


def _one_name_each(names: NDArray[numpy.object_]) -> NDArray[numpy.object_]:
    """Integers, of which those that are written in several ways get one name."""
    ways: dict[Decimal, set[str]] = {}
    for name in set(names):
        ways.setdefault(Decimal(name), set()).add(name)
    called = {
        way: way if len(of_one) == 1 else str(int(number))
        for number, of_one in ways.items()
        for way in of_one
    }
    return numpy.array([called[name] for name in names], dtype=object)


def _named_like(names: NDArray[numpy.object_], classes: list[str]) -> NDArray[numpy.object_]:
    """Names, of which integers that are a class but for how they are written are called like it."""
    numbers = [as_number(name) for name in classes]
    # Else they are names, or several classes are one number. 1.10 may be another name than 1.1.
    are_integers = all(
        number is not None and number == number.to_integral_value() for number in numbers
    )
    if not are_integers or len(set(numbers)) < len(classes):
        return names
    place = dict(zip(numbers, classes, strict=True))
    called = {name: place.get(as_number(name), name) for name in set(names)}
    return numpy.array([called[name] for name in names], dtype=object)


def _check_none_missing(column: Any, of_file: str) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"Expected a target in every row of {of_file} (got none in column {column.name!r}, row"
            f" {int(missing.argmax()) + 1}; {int(missing.sum()):,} in all). Leave such rows out,"
            f" or, to predict, the column. If it is a class called NA or None, which stand for"
            f" missing values, call it otherwise."
        )


def _check_differ(num_values: int, column: Any, of_file: str) -> None:
    if num_values < 2:
        raise ValueError(
            f"Expected two classes or numbers at least in column {column.name!r} of {of_file} (got"
            f" one, {column.iloc[0]}, in all {len(column):,} rows, from row 1 on). Name another"
            f" column by --target, or add rows."
        )


def _are_classes(column: Any) -> bool:
    """Few integers, which come again."""
    values = set(column.map(float).tolist()) if _is_all_numbers(column) else set()
    integers = bool(values) and all(value.is_integer() for value in values)
    return integers and len(values) <= min(_MOST_CLASSES, len(column) // 2)


def _is_all_numbers(column: Any) -> bool:
    """Whether no value is something else."""
    import pandas

    return not bool(pandas.to_numeric(column, errors="coerce").isna().any())


def _are_row_numbers(numbers: Floats) -> bool:
    ordered = numpy.sort(numbers)
    return len(ordered) > 2 and bool((numpy.diff(ordered) == 1).all())


def _by_number_or_name(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name
