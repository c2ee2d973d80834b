from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from pyg_modules._arrays import Floats
from pyg_modules._files import digest_of, read_json, write_json
from pyg_modules.datasets.columns import (
    check_size,
    decimals_like,
    number_texts_in,
    numbers_in,
    parsed,
    shown,
    texts_in,
)

if TYPE_CHECKING:
    from pandas import DataFrame

ENCODING_FILE = "data.json"
#: The file of a run that says what its other files contain, and under which name it does.
METRICS_FILE, DIGESTS = "metrics.json", "sha256"
_FORMAT_VERSION = 1
# Of a number, so many bits tell it from others; of one that is as much larger than what it differs
# by, more of them.
_BITS, _MOST_BESIDE = 20, 2.0**28


@dataclass(frozen=True)
class NumberColumn:
    """How a column of numbers becomes an input: ``(x or median - mean) / scale``.

    Args:
        name (str): Of the column.
        median (float): What stands in for a missing number.
        mean (float): Of the training part.
        scale (float): Its standard deviation.
    """

    name: str
    median: float
    mean: float
    scale: float


@dataclass(frozen=True)
class CategoryColumn:
    """How a column of categories becomes inputs: one for each of them, 1 where it is that one.

    Args:
        name (str): Of the column.
        categories (list of str): Those of the training part.
        are_numbers (bool, optional): Whether they are numbers, however a file writes them.
            (default: ``False``)
    """

    name: str
    categories: list[str]
    are_numbers: bool = False

    def texts_in(self, table: DataFrame) -> NDArray[numpy.object_]:
        """What stands for categories in the column of a table, ``[rows]``."""
        column = table[self.name]
        texts = number_texts_in(column) if self.are_numbers else texts_in(column)
        return decimals_like(texts, self.categories)


@dataclass(frozen=True)
class Target:
    """How outputs become predictions.

    Args:
        name (str): Of the column.
        classes (list of str, optional): Their names, by output; none of a regression.
        mean (float, optional): Of the numbers of the training part. (default: 0)
        scale (float, optional): Their standard deviation. (default: 1)
    """

    name: str
    classes: list[str] | None
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Encoding:
    """How the rows of a file become inputs of a network, fitted on the training part.

    Args:
        numbers (list of NumberColumn): The first inputs.
        categories (list of CategoryColumn): The inputs after them.
        target (Target): What is predicted.
        options (dict): What the command line was told of the data, by the name of the option.
        notes (list of str): What was found out, left out and filled in, a sentence each.
        trained_on (list of str, optional): What tells each sample of the training part from others,
            a digest of its values and target. (default: none, as of earlier versions)
    """

    numbers: list[NumberColumn]
    categories: list[CategoryColumn]
    target: Target
    options: dict[str, str]
    notes: list[str]
    trained_on: list[str] = field(default_factory=list)

    @property
    def num_features(self) -> int:
        """Number of inputs."""
        return len(self.numbers) + sum(len(column.categories) for column in self.categories)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, each a column or one category of it."""
        return [number.name for number in self.numbers] + [
            f"{column.name} = {category}"
            for column in self.categories
            for category in column.categories
        ]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, the classes or the target of a regression."""
        target = self.target
        return [target.name] if target.classes is None else target.classes

    def encode(self, table: DataFrame, of_file: str) -> NDArray[numpy.float32]:
        """The inputs ``[num_rows, num_features]`` of the rows of a table.

        Args:
            table (pandas.DataFrame): The rows.
            of_file (str): The name of their file, for messages.

        Raises:
            ValueError: If a column is missing, or a value in a column of numbers is none.
        """
        values = self.values(table, of_file)
        for place, number in enumerate(self.numbers):
            values[:, place] = (values[:, place] - number.mean) / number.scale
            unit = f" times {number.scale:.2g}, the standard deviation of those trained on"
            check_size(values[:, place], table[number.name], of_file, unit)
        return values.astype(numpy.float32)

    def values(self, table: DataFrame, of_file: str) -> Floats:
        """The same before numbers are scaled: as they are given, the median where one is missing.

        Args:
            table (pandas.DataFrame): The rows.
            of_file (str): The name of their file, for messages.

        Raises:
            ValueError: If a column is missing, or a value in a column of numbers is none.
        """
        needed = [number.name for number in self.numbers]
        needed += [column.name for column in self.categories]
        if missing := [name for name in needed if name not in table.columns]:
            raise ValueError(
                f"Expected the columns of the training data in {of_file} (got no"
                f" {shown(missing)}). Add what is missing; a value may be left empty."
            )
        remedy = "Correct it, or leave it empty if it is missing."
        columns = []
        for number in self.numbers:
            values = numbers_in(table[number.name], of_file, remedy)
            columns.append(numpy.where(numpy.isnan(values), number.median, values))
        for column in self.categories:
            texts = column.texts_in(table)
            columns += [texts == category for category in column.categories]
        return numpy.stack(columns, axis=1).astype(numpy.float64)

    def filled(self, table: DataFrame) -> list[str]:
        """A sentence for every column of numbers of which some are missing."""
        sentences = []
        for number in self.numbers:
            if missing := int(numpy.isnan(parsed(table[number.name])).sum()):
                sentences.append(
                    f"column {number.name!r}: {missing:,} of {len(table):,} missing, taken to be"
                    f" the median {number.median:g} of the training part"
                )
        return sentences

    def unknown(self, table: DataFrame) -> list[str]:
        """A sentence for every column with categories that the training part has not.

        And for one with names that are taken for others, which are as much as numbers.
        """
        sentences = []
        for column in self.categories:
            texts = column.texts_in(table)
            if new := sorted(set(texts) - set(column.categories)):
                sentences.append(
                    f"column {column.name!r} has {shown(new)}, which the training part has not:"
                    f" none of its categories is taken"
                )
            if column.are_numbers or table[column.name].dtype.kind == "f":
                continue
            pairs = set(zip(texts_in(table[column.name]), texts, strict=True))
            if others := sorted((own, like) for own, like in pairs if own != like):
                own, like = (shown(list(names)) for names in zip(*others, strict=True))
                sentences.append(
                    f"column {column.name!r} has {own}, taken for {like} of the training part,"
                    f" which is as much: other names need a letter"
                )
        return sentences

    def seen(self, x: NDArray[Any], y: NDArray[Any], rows: str) -> list[str]:
        """A sentence if samples are like some of the training part.

        Args:
            x (ndarray): What is used of them, as of :meth:`values`.
            y (ndarray): Their targets: classes, or numbers as they are given.
            rows (str): What they are called, such as ``"rows of new.csv"``.
        """
        known = set(self.trained_on)
        number = sum(digest in known for digest in self.digests_of(x, y))
        if not number:
            return []
        return [
            f"{number:,} of the {len(x):,} {rows} equal rows that were trained on, in all that is"
            f" used of them: their score may say little of new ones"
        ]

    def digests_of(self, x: NDArray[Any], y: NDArray[Any]) -> list[str]:
        """What tells each sample from others, by its values and target to six digits or so.

        Where numbers are large beside their differences, as times are, by more.

        Args:
            x (ndarray): The values, ``[num_rows, num_features]``, as of :meth:`values`.
            y (ndarray): The targets, ``[num_rows]``, classes or numbers.
        """
        rest = [(0.0, 1.0)] * (self.num_features - len(self.numbers))
        spread = [(number.mean, number.scale) for number in self.numbers] + rest
        mean, scale = numpy.abs([*spread, (self.target.mean, self.target.scale)]).T
        beside = numpy.log2(numpy.clip(mean / scale, 1, _MOST_BESIDE))
        bits = _BITS + numpy.ceil(beside).astype(int)
        fractions, exponents = numpy.frexp(numpy.column_stack([x, y]).astype(numpy.float64))
        # A file that is written again may have fewer digits: they are rounded, but not at half of
        # what is kept, where numbers of few digits or bits would be. And there is no -0.
        floors = numpy.floor(numpy.ldexp(fractions, bits) + 1 / 3)
        rounded = numpy.ldexp(floors, exponents - bits) + 0
        return [blake2b(row.tobytes(), digest_size=8).hexdigest() for row in rounded]

    def save(self, folder: Path) -> None:
        """Write all numbers and names into ``folder``, as JSON."""
        write_json(folder / ENCODING_FILE, {"format_version": _FORMAT_VERSION, **asdict(self)})


def load_encoding(folder: str | os.PathLike[str]) -> Encoding:
    """What :meth:`Encoding.save` wrote into ``folder``.

    Raises:
        ValueError: If it is not there, or something else, or not of the run in ``folder``.
    """
    path = Path(folder) / ENCODING_FILE
    try:
        fields = read_json(path)
        if fields.pop("format_version") != _FORMAT_VERSION:
            raise ValueError("another version")
        encoding = Encoding(
            [_number_column(column) for column in fields.pop("numbers")],
            [_category_column(column) for column in fields.pop("categories")],
            _target(fields.pop("target")),
            **_texts(**fields),
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"Expected the folder of a network that was trained on a file (got {folder}, without"
            f" {ENCODING_FILE}). Name one that pyg-modules train --data FILE wrote."
        ) from error
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected how rows become inputs in {path} (got {type(error).__name__}: {error})."
            f" Copy the folder again, or train again."
        ) from error
    _check_is_of_run(path)
    return encoding


def _check_is_of_run(path: Path) -> None:
    """Raise a ``ValueError`` if a run whose folder ``path`` is in was written with another one."""
    folder = Path(os.path.realpath(path.parent))
    for above in (folder, folder.parent):
        place = folder.relative_to(above)
        try:
            digests = dict(read_json(above / METRICS_FILE)[DIGESTS])
        except (LookupError, OSError, TypeError, ValueError):
            continue  # There is no run.
        if any(Path(str(name)).parent == place for name in digests):
            if digests.get((place / path.name).as_posix()) != digest_of(path):
                raise ValueError(
                    f"Expected {path} of the run in {above} (got that of another, or changed). Copy"
                    f" the folder again, or train again; of a run without --data, delete it."
                )
            return


def _name(fields: dict[str, Any]) -> str:
    return str(fields["name"]).strip()  # Earlier versions kept blanks around those of Parquet.


def _number_column(fields: dict[str, Any]) -> NumberColumn:
    return NumberColumn(
        _name(fields), *(float(fields[name]) for name in ("median", "mean", "scale"))
    )


def _category_column(fields: dict[str, Any]) -> CategoryColumn:
    categories = [str(name) for name in fields["categories"]]
    # Earlier versions did not tell.
    return CategoryColumn(_name(fields), categories, bool(fields.get("are_numbers", False)))


def _target(fields: dict[str, Any]) -> Target:
    classes = fields["classes"]
    names = None if classes is None else [str(name) for name in classes]
    return Target(_name(fields), names, float(fields["mean"]), float(fields["scale"]))


def _texts(
    *, options: dict[str, str], notes: list[str], trained_on: Iterable[str] = ()
) -> dict[str, Any]:
    return {
        "options": {str(name): str(value) for name, value in options.items()},
        "notes": [str(note) for note in notes],
        "trained_on": [str(digest) for digest in trained_on],
    }
