"""Tables from files: CSV, Parquet, and arrays of NumPy."""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy

from pyg_modules._files import as_path
from pyg_modules.datasets.columns import shown

if TYPE_CHECKING:
    from pandas import DataFrame

#: The column of ``y`` in a table of arrays.
ARRAY_TARGET = "y"
# Characters of a value; the limit of the module csv is for all who read with it.
_LONGEST = 2**31 - 1
_SEPARATORS = ",;\t"
# What pandas calls the kinds of values that a column may hold.
_TYPES = (
    "boolean",
    "decimal",
    "empty",
    "floating",
    "integer",
    "integer-na",
    "mixed-integer-float",
    "string",
)


def read_table(path: str | os.PathLike[str]) -> DataFrame:
    """The rows of a file, ``.csv``, ``.parquet``, or ``.npz`` with the arrays ``x`` and ``y``.

    Args:
        path (path): The file. Of ``x`` in a ``.npz``, the columns are called ``x0``, ``x1``, ...

    Returns:
        pandas.DataFrame: The rows; values of a CSV are texts.

    Raises:
        ImportError: If the package that reads it has to be installed first.
        ValueError: If it is missing, damaged, empty, or of another kind.
    """
    path = as_path("path", path)
    if path.suffix.lower() not in _READERS:
        raise ValueError(
            f"Expected a file {', '.join(_READERS)} (got {path}). Save it as one of these."
        )
    if path.is_dir():
        raise ValueError(
            f"Expected the file {path} (got a folder of that name). Join what is in it into one"
            f" file."
        )
    if not path.is_file():
        raise ValueError(f"Expected the file {path} (got none of that name). Correct it.")
    if path.stat().st_size == 0:
        raise ValueError(f"Expected rows in {path} (got an empty file). Write it again.")
    import_pandas()
    try:
        table = _READERS[path.suffix.lower()](path)
    except OSError as error:
        raise ValueError(
            f"Expected a file that can be read (got {path}: {error.strerror or error}). Correct its"
            f" permissions, or write it again."
        ) from error
    names = [str(name).strip() for name in table.columns]
    _check_names(names, path)
    table.columns = names
    if len(table) == 0:
        raise ValueError(f"Expected rows in {path} (got names of columns only). Add rows.")
    return table


def import_pandas() -> Any:
    """The package pandas.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("Reading data needs pandas: pip install 'pyg-modules[data]'") from error
    return pandas


def _read_csv(path: Path) -> DataFrame:
    import pandas

    names: list[str] = []
    rows = csv.reader([])
    values: list[str] = []
    num_values = 0
    limit = csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = _separator(next((line for line in file if line.strip()), ""))
            file.seek(0)
            lines = _Lines(file)
            rows = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
            for row in rows:
                if row and not names:
                    names = [name.strip() for name in row]
                elif row and len(row) != len(names):
                    # pandas would take one that is too short as one with missing values.
                    raise csv.Error(f"{len(row)} values below {len(names)} names")
                elif len(names) == 1 and not lines.is_end:
                    # A blank line is a missing value where there is one column, but not the last.
                    values.append("" if lines.is_blank else row[0])
                    num_values = num_values if lines.is_blank else len(values)
        source: Any = path
        if len(names) == 1:
            source = io.StringIO(newline="")
            quoted = csv.writer(source, delimiter=separator, quoting=csv.QUOTE_ALL)
            quoted.writerows([value] for value in (*names, *values[:num_values]))
            source.seek(0)
        table = pandas.read_csv(
            source,
            sep=separator,
            header=None,
            dtype=str,
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected a text of UTF-8 in {path} (got the byte {error.object[error.start]:#04x},"
            f" which is none). Save it as 'CSV UTF-8'."
        ) from error
    except pandas.errors.EmptyDataError as error:
        raise ValueError(f"Expected rows in {path} (got an empty file). Write it again.") from error
    except (csv.Error, pandas.errors.ParserError) as error:
        raise ValueError(
            f"Expected a row of equally many columns in every line of {path} (got {error}, in line"
            f" {rows.line_num}). Correct the line; a value with a separator in it stands in quotes,"
            f" and the names of the columns, {shown(names)}, in the first line."
        ) from error
    finally:
        csv.field_size_limit(limit)
    rows_below = table.iloc[1:]
    if _are_values(names, rows_below):
        raise ValueError(
            f"Expected names of columns in the first line of {path} (got values: {shown(names)})."
            f" Put a line of names above them."
        )
    table = rows_below.reset_index(drop=True)
    table.columns = names
    return table


class _Lines:
    """The lines of a file, one after the other, with what is to be known of the last one read."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._last = self._before = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self._before, self._last = self._last, line
            yield line

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing in it."""
        return not self._last.strip()

    @property
    def is_end(self) -> bool:
        """Whether it is but the end of the line before, which was written twice."""
        return self._last == "\r\n" and self._before.endswith("\r")


def _separator(line: str) -> str:
    """What stands most often in a line, outside of quotes."""
    return max(_SEPARATORS, key=re.sub('"[^"]*"', "", line).count)


def _read_parquet(path: Path) -> DataFrame:
    import pandas

    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Reading .parquet needs pyarrow: pip install pyarrow. Or save the data as .csv."
        ) from error
    try:
        _check_names(pyarrow.parquet.read_schema(path).names, path)
        table = pandas.read_parquet(path, engine="pyarrow")
    except (pyarrow.lib.ArrowException, UnicodeError) as error:
        raise ValueError(
            f"Expected a file of Parquet in {path} (got: {error}). Write it again."
        ) from error
    if named := [name for name in table.index.names if name is not None]:
        _check_names([*map(str, named), *map(str, table.columns)], path)
        table = table.reset_index(named)  # It is a column of the file.
    check_types(table, path)
    return table.reset_index(drop=True)  # Rows have numbers.


def check_types(table: DataFrame, path: Path) -> None:
    """Raise unless all columns hold numbers, booleans or texts."""
    from pandas.api.types import infer_dtype

    for name, column in table.items():
        categories = getattr(column.dtype, "categories", column)
        if (kind := infer_dtype(categories, skipna=True)) not in _TYPES:
            raise ValueError(
                f"Expected numbers, booleans or texts in column {str(name)!r} of {path} (got"
                f" {kind}). Make one of these of it, e.g. days since the first date, or leave it"
                f" out."
            )


def _read_arrays(path: Path) -> DataFrame:
    import pandas

    try:
        # Opened by zipfile, as no other kind of file is an archive of arrays.
        with zipfile.ZipFile(path) as archive:
            stored = set(archive.namelist())
            found = {
                name: numpy.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
                for name in ("x", "y")
                if f"{name}.npy" in stored
            }
    except (EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"Expected a file of numpy.savez in {path} (got none, or one with objects: {error})."
            f" Write it by numpy.savez({path.name!r}, x=x, y=y), of numbers, y also of texts."
        ) from error
    if "x" not in found:
        raise ValueError(
            f"Expected the arrays x and y in {path} (got no x). Write it by"
            f" numpy.savez({path.name!r}, x=x, y=y)."
        )
    x = found["x"]
    if x.ndim != 2 or x.dtype.kind not in "biuf":
        raise ValueError(
            f"Expected x of numbers, [rows, columns], in {path} (got {x.dtype} {list(x.shape)})."
            f" Use x.reshape(len(x), -1)."
        )
    table = pandas.DataFrame(x.astype(float), columns=[f"x{place}" for place in range(x.shape[1])])
    if "y" in found:
        y = found["y"]
        if y.shape not in ((len(x),), (len(x), 1)) or y.dtype.kind not in "biufU":
            raise ValueError(
                f"Expected y of numbers or texts, one for each of the {len(x)} rows of x, in {path}"
                f" (got {y.dtype} {list(y.shape)}). Choose one target, and say what is missing by"
                f" NaN."
            )
        table[ARRAY_TARGET] = y.reshape(-1)
    return table


def _are_values(names: list[str], table: DataFrame) -> bool:
    """Whether a first line is a row like those below it: numbers, or numbers and texts of theirs.

    Names that are numbers, such as years, may stand beside names that are none.
    """
    if not any(map(_is_number, names)):
        return False
    texts = (place for place, name in enumerate(names) if name and not _is_number(name))
    return all(bool(table.iloc[:, place].eq(names[place]).any()) for place in texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_names(names: list[str], path: Path) -> None:
    if "" in names:
        raise ValueError(
            f"Expected a name for every column of {path} (got none for column"
            f" {names.index('') + 1}). Write one into the first line, or leave the column out."
        )
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise ValueError(
            f"Expected a different name for every column of {path} (got {shown(twice)} more than"
            f" once). Rename one."
        )


_READERS: dict[str, Callable[[Path], DataFrame]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_arrays,
}
