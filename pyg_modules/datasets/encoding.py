from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from pyg_modules._files import read_json, write_json
from pyg_modules.datasets.columns import check_size, numbers_in, shown, texts_in

if TYPE_CHECKING:
    from pandas import DataFrame

ENCODING_FILE = "data.json"
_FORMAT_VERSION = 1


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
    """

    name: str
    categories: list[str]


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
            a digest of its inputs and target. (default: none, as of earlier versions)
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

    def encode(self, table: DataFrame, of_file: str) -> NDArray[numpy.float32]:
        """The inputs ``[num_rows, num_features]`` of the rows of a table.

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
            values = numpy.where(numpy.isnan(values), number.median, values)
            values = (values - number.mean) / number.scale
            check_size(values, table[number.name], of_file)
            columns.append(values)
        for column in self.categories:
            texts = texts_in(table[column.name])
            columns += [texts == category for category in column.categories]
        return numpy.stack(columns, axis=1).astype(numpy.float32)

    def unknown(self, table: DataFrame) -> list[str]:
        """A sentence for every column with categories that the training part has not."""
        sentences = []
        for column in self.categories:
            texts = set(texts_in(table[column.name]))
            if new := sorted(texts - set(column.categories)):
                sentences.append(
                    f"column {column.name!r} has {shown(new)}, which the training part has not:"
                    f" none of its categories is taken"
                )
        return sentences

    def seen(self, x: NDArray[Any], y: NDArray[Any], rows: str) -> list[str]:
        """A sentence if samples are like some of the training part.

        Args:
            x (ndarray): Their inputs, as of :meth:`encode`.
            y (ndarray): Their targets, as the network is trained on.
            rows (str): What they are called, such as ``"rows of new.csv"``.
        """
        known = set(self.trained_on)
        number = sum(digest in known for digest in digests_of(x, y))
        if not number:
            return []
        return [
            f"{number:,} of the {len(x):,} {rows} equal rows that were trained on, in all that is"
            f" used of them: their score may say little of new ones"
        ]

    def save(self, folder: Path) -> None:
        """Write all numbers and names into ``folder``, as JSON."""
        write_json(folder / ENCODING_FILE, {"format_version": _FORMAT_VERSION, **asdict(self)})


def digests_of(x: NDArray[Any], y: NDArray[Any]) -> list[str]:
    """What tells each sample from others, of its inputs and its target alone, to four decimals.

    Args:
        x (ndarray): The inputs, ``[num_rows, num_features]``.
        y (ndarray): The targets, ``[num_rows]`` classes or ``[num_rows, 1]`` numbers.
    """
    # A file that is written again may have fewer digits; and there is no -0.
    x, y = x.round(4) + 0, y.round(4) + 0
    return [
        blake2b(inputs.tobytes() + target.tobytes(), digest_size=8).hexdigest()
        for inputs, target in zip(x, y, strict=True)
    ]


def load_encoding(folder: str | os.PathLike[str]) -> Encoding:
    """What :meth:`Encoding.save` wrote into ``folder``.

    Raises:
        ValueError: If it is not there, or something else.
    """
    path = Path(folder) / ENCODING_FILE
    try:
        fields = read_json(path)
        if fields.pop("format_version") != _FORMAT_VERSION:
            raise ValueError("another version")
        return Encoding(
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


def _number_column(fields: dict[str, Any]) -> NumberColumn:
    return NumberColumn(
        str(fields["name"]), *(float(fields[name]) for name in ("median", "mean", "scale"))
    )


def _category_column(fields: dict[str, Any]) -> CategoryColumn:
    return CategoryColumn(str(fields["name"]), [str(name) for name in fields["categories"]])


def _target(fields: dict[str, Any]) -> Target:
    classes = fields["classes"]
    names = None if classes is None else [str(name) for name in classes]
    return Target(str(fields["name"]), names, float(fields["mean"]), float(fields["scale"]))


def _texts(
    *, options: dict[str, str], notes: list[str], trained_on: Iterable[str] = ()
) -> dict[str, Any]:
    return {
        "options": {str(name): str(value) for name, value in options.items()},
        "notes": [str(note) for note in notes],
        "trained_on": [str(digest) for digest in trained_on],
    }
