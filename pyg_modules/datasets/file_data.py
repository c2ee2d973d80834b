"""A task from files of one's own."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray

from pyg_modules._arrays import Ints
from pyg_modules._brief import brief
from pyg_modules._checks import check_choice
from pyg_modules._files import as_path
from pyg_modules.datasets.columns import (
    MISSING,
    is_of_numbers,
    number_texts_in,
    numbers_in,
    parsed,
    shown,
    texts_in,
)
from pyg_modules.datasets.dataset import Dataset
from pyg_modules.datasets.encoding import CategoryColumn, Encoding, NumberColumn, Target
from pyg_modules.datasets.table_file import ARRAY_TARGET, import_pandas, read_table
from pyg_modules.datasets.target_column import TASKS, TargetColumn, read_target, read_target_like

if TYPE_CHECKING:
    from pandas import DataFrame

_TEST_SHARE = 0.2
_FEWEST_ROWS = 10
_MANY_CATEGORIES = 20


def load_file(
    path: str | os.PathLike[str],
    test: str | os.PathLike[str] | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    categories: Sequence[str] = (),
) -> Dataset:
    """The task in a file, with all columns scaled, and categories as inputs of their own.

    Missing numbers become the median, missing categories a category, and so does one number that is
    there or missing; columns with one value, and texts that are different in every row, are left
    out. All of this is fitted by scikit-learn on the training part, and is in ``encoding`` of what
    is returned, with ``notes`` that say it.

    Args:
        path (path): ``.csv`` or ``.parquet``, or ``.npz`` with arrays ``x`` and ``y``.
        test (path, optional): A file with the same columns, to test on. (default: a fifth of
            the rows, drawn at random, the same ones every time, with all classes in both parts)
        target (str, optional): The column to predict; not needed for ``.npz``.
        task (str, optional): ``"classification"`` or ``"regression"``. (default: found out)
        categories (sequence of str, optional): Columns that hold categories, though written as
            numbers.

    Returns:
        Dataset: The task.

    Raises:
        ImportError: If pandas, or pyarrow for Parquet, has to be installed first.
        TypeError: If a file is no path, or ``categories`` is one text or no names.
        ValueError: If both files have the same rows; or one is missing or damaged, or something in
            it is; with its name, and that of the column and the row, counted from 1 below the names
            of the columns.
    """
    if task is not None:
        check_choice("task", task, TASKS)
    if isinstance(categories, str):
        raise TypeError(
            f"Expected categories to be a sequence of names (got str: {brief(categories)}). Use"
            f" [{categories!r}]."
        )
    if wrong := [name for name in categories if not isinstance(name, str)]:
        raise TypeError(
            f"Expected categories to be names of columns (got {type(wrong[0]).__name__}:"
            f" {brief(wrong[0])}). Use str, e.g. [{str(wrong[0])!r}]."
        )
    # As those of columns are read.
    target = None if target is None else str(target).strip()
    categories = [name.strip() for name in categories]
    options = {"data": os.fspath(as_path("path", path))}
    options |= {} if test is None else {"test": os.fspath(as_path("test", test))}
    options |= {} if target is None else {"target": target}
    options |= {} if task is None else {"task": task}
    options |= {"categories": ",".join(categories)} if categories else {}
    table, of_file = read_table(path), os.fspath(path)
    target = _target_name(table, target, of_file)
    features = table.drop(columns=target)
    targets = read_target(table[target], of_file, task)
    prepared = _prepared(features, of_file, categories)
    if test is None:
        train, held_out = _split(targets, table[target], of_file)
        test_x, test_y = features.iloc[held_out], targets.values[held_out]
    else:
        train = numpy.arange(len(table))
        test_table = read_table(test)
        if test_table.equals(table):
            raise ValueError(
                f"Expected other rows to test on than to train on (got the same ones in {test} and"
                f" {path}). Give rows that are kept for it, or leave --test out: a fifth of the"
                f" rows is kept then."
            )
        if target not in test_table.columns:
            raise ValueError(
                f"Expected the target {target!r} in {test} (got no such column). Add it; to predict"
                f" it, use pyg-modules predict."
            )
        test_y = read_target_like(test_table[target], os.fspath(test), targets.classes)
        test_x = test_table.drop(columns=target)
    _check_enough(train, targets, test_y, of_file)
    flags = _flags(prepared.iloc[train])
    for name in flags:
        prepared[name] = number_texts_in(features[name])
    encoding = _fitted(
        prepared.iloc[train], flags, target, targets, train, options, [*flags, *categories]
    )
    test_file = of_file if test is None else os.fspath(test)
    encoding.notes.extend(_on_row_numbers(prepared, encoding.numbers))
    inputs = encoding.encode(test_x, test_file)
    test_values = encoding.values(test_x, test_file)
    if test is not None:
        encoding.notes.extend(f"{test}: {note}" for note in encoding.filled(test_x))
    encoding.notes.extend(encoding.unknown(test_x))
    if test is not None and (more := sorted(set(test_x.columns) - set(features.columns))):
        encoding.notes.append(f"{test} has more columns, which are not used: {shown(more)}")
    train_inputs = encoding.encode(features.iloc[train], of_file)
    train_targets = as_targets(targets.values[train], encoding.target)
    test_targets = as_targets(test_y, encoding.target)
    train_values = encoding.values(features.iloc[train], of_file)
    encoding.trained_on.extend(encoding.digests_of(train_values, targets.values[train]))
    tested = "rows to test on" if test is None else f"rows of {test_file}"
    encoding.notes.extend(encoding.seen(test_values, test_y, tested))
    parts = f"{len(train):,} rows to train on, {len(test_y):,} to test on"
    encoding.notes.append(f"{parts}, {encoding.num_features:,} inputs")
    return Dataset(
        Path(path).name,
        torch.from_numpy(train_inputs),
        train_targets,
        torch.from_numpy(inputs),
        test_targets,
        encoding=encoding,
    )


def as_targets(values: NDArray[Any], target: Target) -> torch.Tensor:
    """Classes ``[B]`` as they are; numbers scaled, ``[B, 1]``."""
    if target.classes is not None:
        return torch.from_numpy(values)
    scaled = (values - target.mean) / target.scale
    return torch.from_numpy(scaled.astype(numpy.float32)).unsqueeze(1)


def _target_name(table: DataFrame, target: str | None, of_file: str) -> str:
    if target is None and of_file.lower().endswith(".npz"):
        target = ARRAY_TARGET
    columns = [str(name) for name in table.columns]
    if target is None:
        raise ValueError(
            f"Expected --target, the column to predict, one of {shown(columns)} in {of_file} (got"
            f" none). Name it."
        )
    if target not in columns:
        near = get_close_matches(str(target), columns)  # Those that may be meant come first.
        columns.sort(key=lambda name: near.index(name) if name in near else len(near))
        raise ValueError(
            f"Expected the target {target!r} in {of_file} (got {shown(columns)}). Name one of the"
            f" columns by --target."
        )
    if len(columns) == 1:
        raise ValueError(
            f"Expected columns beside the target {target!r} in {of_file} (got none). Add what it is"
            f" predicted from; values of a CSV are separated by commas, semicolons or tabs."
        )
    return target


def _prepared(features: DataFrame, of_file: str, categories: Sequence[str]) -> DataFrame:
    """Columns of numbers as such, all others as texts."""
    pandas = import_pandas()
    if unknown := [name for name in categories if name not in features.columns]:
        raise ValueError(
            f"Expected columns of {of_file} in --categories (got {shown(unknown)}). Name those that"
            f" are there, but not the target: {shown([*map(str, features.columns)])}."
        )
    columns: dict[str, NDArray[Any]] = {}
    for name in features.columns:
        column = features[name]
        if name not in categories and is_of_numbers(column):
            remedy = (
                f"Correct it (1.5, not 1,5 or 1.5 %), leave it empty if it is missing, or, if these"
                f" are no numbers but names, say --categories {_quoted(name)}."
            )
            columns[name] = numbers_in(column, of_file, remedy)
        else:
            columns[name] = texts_in(column)
    return pandas.DataFrame(columns)


def _quoted(name: str) -> str:
    """The name of a column as a shell and ``--categories`` want it."""
    return quote('"{}"'.format(name.replace('"', '""')) if set(name) & set(',"') else name)


def _split(targets: TargetColumn, column: Any, of_file: str) -> tuple[Ints, Ints]:
    """Rows to train on and to test on, in order, with all classes in both."""
    from sklearn.model_selection import train_test_split

    num_rows, classes = len(targets.values), targets.classes
    if num_rows < _FEWEST_ROWS:
        raise ValueError(
            f"Expected {_FEWEST_ROWS} rows at least in {of_file}, to train on and to test on (got"
            f" {num_rows}, the last is row {num_rows}). Add rows, or give some to test on by"
            f" --test."
        )
    smallest = -(-num_rows // round(1 / _TEST_SHARE))
    if classes is not None:
        number = numpy.bincount(targets.values, minlength=len(classes))
        if number.min() < 2:
            lonely = int(number.argmin())
            row = int((targets.values == lonely).argmax()) + 1
            counts = all(name.lstrip("-").isdecimal() for name in classes)
            raise ValueError(
                f"Expected two rows at least of every class in column {column.name!r} of {of_file},"
                f" one to test on (got one of {classes[lonely]!r}, row {row}). Add rows, or leave"
                f" it out{'; or predict it as a number: --task regression' if counts else ''}."
            )
        smallest = max(smallest, len(classes))
    train, test = train_test_split(
        numpy.arange(num_rows),
        test_size=smallest,
        stratify=None if classes is None else targets.values,
        random_state=0,
    )
    if classes is not None:
        _exchange_for_all_classes(test, train, targets.values)
        _exchange_for_all_classes(train, test, targets.values)
    return numpy.sort(train), numpy.sort(test)


def _exchange_for_all_classes(part: Ints, other: Ints, classes: NDArray[Any]) -> None:
    """Exchange a row of the largest class of ``part``, in place, for one of each that it lacks.

    Both are in a random order, so that the first rows of a class are any.
    """
    for lacking in numpy.setdiff1d(classes[other], classes[part]):
        largest = numpy.bincount(classes[part]).argmax()
        here = (classes[part] == largest).argmax()
        there = (classes[other] == lacking).argmax()
        part[here], other[there] = other[there], part[here]


def _check_enough(train: Ints, targets: TargetColumn, test_y: NDArray[Any], of_file: str) -> None:
    num_values = len(set(targets.values[train].tolist()))
    if num_values < 2:
        raise ValueError(
            f"Expected different targets to train on in {of_file} (got one value in all of these"
            f" rows). Add rows."
        )
    if targets.classes is None and len(set(test_y.tolist())) < 2:
        raise ValueError(
            "Expected two rows at least with different targets to test on (got one value: nothing"
            " can be explained of it). Add rows."
        )


def _fitted(
    train: DataFrame,
    flags: Collection[str],
    target: str,
    targets: TargetColumn,
    rows: Ints,
    options: dict[str, str],
    expected: Collection[str],
) -> Encoding:
    """The encoding of the rows to train on; scikit-learn finds its numbers.

    Nothing is to be said of columns that are ``expected`` to hold categories.
    """
    notes = [targets.note]
    numbers, categories, constant, texts = _kinds(train)
    if constant:
        notes.append(f"left out, for they have one value: {shown(constant)}")
    if texts:
        notes.append(f"left out, for they have another text in every row: {shown(texts)}")
    if not numbers and not categories:
        raise ValueError(
            f"Expected a column that says something of the target (got none:"
            f" {'; '.join(notes[1:])}). Add columns to {options['data']}."
        )
    number_columns, category_columns = _fitted_columns(train, numbers, categories, flags)
    for column in number_columns:
        if missing := int(train[column.name].isna().sum()):
            notes.append(
                f"column {column.name!r}: {missing:,} missing, taken to be the median"
                f" {column.median:g}"
            )
    for name in categories:
        if missing := int((train[name] == MISSING).sum()):
            notes.append(f"column {name!r}: {missing:,} missing, a category of their own")
    for category in category_columns:
        if category.name not in expected:
            notes.extend(_on_categories(category, train[category.name]))
    mean, scale = 0.0, 1.0
    if targets.classes is None:
        values = targets.values[rows]
        mean, scale = float(values.mean()), float(values.std())
        if scale == 0:
            raise ValueError(
                f"Expected targets that differ by more than rounding in column {target!r} of"
                f" {options['data']} (got {values.min()} to {values.max()}). Take another unit."
            )
    return Encoding(
        number_columns,
        category_columns,
        Target(target, targets.classes, mean, scale),
        options,
        notes,
    )


def _on_row_numbers(table: DataFrame, numbers: list[NumberColumn]) -> list[str]:
    """A sentence for each column that counts the rows of a file."""
    columns = (number.name for number in numbers if len(table) > 1)
    return [
        f"column {name!r}: one more in every row, taken for a number that says something; leave it"
        f" out of the file if it only counts the rows"
        for name in columns
        if (numpy.diff(table[name]) == 1).all()
    ]


def _on_categories(category: CategoryColumn, column: Any) -> list[str]:
    """A sentence if there are many categories, or numbers among them."""
    values = column[column != MISSING]
    is_number = ~numpy.isnan(parsed(values))
    if not is_number.all() and 4 * int(is_number.sum()) >= len(values):
        texts = sorted(set(values[~is_number]))
        return [
            f"column {category.name!r}: {int(is_number.sum()):,} numbers among texts such as"
            f" {shown(texts[:1])}, taken for {len(category.categories):,} categories; leave these"
            f" texts empty if they stand for what is missing"
        ]
    if len(category.categories) > _MANY_CATEGORIES:
        return [
            f"column {category.name!r}: {len(category.categories):,} categories, an input for each"
        ]
    return []


def _flags(train: DataFrame) -> list[str]:
    """Names of columns of one number, which is there or missing: what they say is which."""
    return [
        name
        for name in train.columns
        if train[name].dtype.kind == "f" and train[name].nunique() == 1 and train[name].hasnans
    ]


def _kinds(train: DataFrame) -> tuple[list[str], list[str], list[str], list[str]]:
    """Names of columns of numbers, of categories, of one value, and of texts for nobody else."""
    numbers, categories, constant, texts = [], [], [], []
    for name in train.columns:
        column = train[name]
        is_number = column.dtype.kind == "f"
        if column.nunique(dropna=is_number) < 2:
            constant.append(name)
        elif is_number:
            numbers.append(name)
        elif _names_rows(column):
            texts.append(name)
        else:
            categories.append(name)
    return numbers, categories, constant, texts


def _names_rows(column: Any) -> bool:
    """Whether most rows have a text in a column, and no two the same."""
    texts = column[column != MISSING]
    return 2 * len(texts) > len(column) and texts.nunique() == len(texts)


def _fitted_columns(
    train: DataFrame, numbers: list[str], categories: list[str], flags: Collection[str]
) -> tuple[list[NumberColumn], list[CategoryColumn]]:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    number_pipeline = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    transformer = ColumnTransformer(
        [("numbers", number_pipeline, numbers), ("categories", encoder, categories)]
    )
    transformer.fit(train)
    number_columns, category_columns = [], []
    if numbers:
        imputer, scaler = transformer.named_transformers_["numbers"]
        fitted = zip(numbers, imputer.statistics_, scaler.mean_, scaler.scale_, strict=True)
        number_columns = [
            NumberColumn(name, float(median), float(mean), float(scale))
            for name, median, mean, scale in fitted
        ]
    if categories:
        found = transformer.named_transformers_["categories"].categories_
        category_columns = [
            CategoryColumn(name, [str(category) for category in names], name in flags)
            for name, names in zip(categories, found, strict=True)
        ]
    return number_columns, category_columns
