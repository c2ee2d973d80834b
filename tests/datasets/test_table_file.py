import csv
import datetime
from unittest.mock import patch

import pandas
import pytest
import torch

from pyg_modules.datasets import load_file
from pyg_modules.datasets.columns import is_of_numbers, numbers_in, texts_in
from pyg_modules.datasets.table_file import check_types, read_table
from tests.own_data import own_table


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("a.csv", "pandas", r"pip install 'pyg-modules\[data\]'"),
        ("a.parquet", "pyarrow", r"pip install pyarrow\. Or save the data as \.csv"),
    ],
)
def test_what_reads_a_file_is_named_where_it_is_missing(name, missing, message, tmp_path):
    (tmp_path / name).write_text("a,y\n1,2\n")
    # An entry of None is how Python marks a module that cannot be imported.
    with patch.dict("sys.modules", {missing: None}), pytest.raises(ImportError, match=message):
        load_file(tmp_path / name, target="y")


def test_columns_that_have_types_are_read_as_those_of_text():
    table = pandas.DataFrame(
        {
            "number": [1.5, None, 3],
            "whole": pandas.array([1, None, 3], dtype="Int64"),
            "flag": pandas.array([True, None, False], dtype="boolean"),
            "kind": pandas.Categorical(["u", None, "v"]),
            "plain": [True, False, True],
        }
    )
    numbers = [name for name in table.columns if is_of_numbers(table[name])]
    assert numbers == ["number", "whole"]
    for name in numbers:
        values = numbers_in(table[name], "t", "")
        assert values.tolist()[::2] == table[name].tolist()[::2]
        assert values[1] != values[1]
    texts = {name: texts_in(table[name]).tolist() for name in table.columns if name not in numbers}
    assert texts == {
        "flag": ["True", "(missing)", "False"],
        "kind": ["u", "(missing)", "v"],
        "plain": ["True", "False", "True"],
    }


def test_dates_are_refused_with_their_column():
    table = pandas.DataFrame({"day": pandas.to_datetime(["2020-01-01"]), "y": [1]})
    with pytest.raises(ValueError, match=r"column 'day' of t\.parquet .*datetime64.*days since"):
        check_types(table, "t.parquet")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ValueError, match=r"a\.csv \(got a folder .* one file"):
        read_table(tmp_path / "a.csv")


def parquet(folder, table):
    pytest.importorskip("pyarrow")
    table.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def test_parquet_is_read_as_the_same_table_in_csv(tmp_path):
    table = own_table("wine")
    table["old"] = table["proline"] > 700
    table["sold"] = table["old"].where(table["hue"] > 0.8, None)
    table["code"] = pandas.Categorical(table["grade"] + 3)
    from_parquet = load_file(
        parquet(tmp_path, table.set_index("alcohol")), target="grade", categories=["code"]
    )
    columns = ["alcohol", *table.columns.drop("alcohol")]
    table[columns].to_csv(tmp_path / "t.csv", index=False)
    from_csv = load_file(tmp_path / "t.csv", target="grade", categories=["code"])
    assert from_parquet.encoding.categories == from_csv.encoding.categories
    kinds = {column.name: column.categories for column in from_parquet.encoding.categories}
    assert kinds["sold"] == ["(missing)", "False", "True"]
    assert kinds["code"] == ["3", "4", "5"]
    torch.testing.assert_close(from_parquet.train_x, from_csv.train_x)
    assert torch.equal(from_parquet.test_y, from_csv.test_y)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[1, 2], [3]], "mixed"),
        ([{"a": 1}, {"a": 2}], "mixed"),
        ([b"u", b"v"], "bytes"),
        ([datetime.date(2020, 1, 1), None], "date"),
        (pandas.to_datetime(["2020-01-01", None]), "datetime64"),
    ],
)
def test_columns_of_parquet_that_are_no_numbers_or_texts_are_refused(values, kind, tmp_path):
    path = parquet(tmp_path, pandas.DataFrame({"z": values, "y": [0, 1]}))
    with pytest.raises(ValueError, match=rf"texts in column 'z' of .*t\.parquet \(got {kind}\)\."):
        read_table(path)


def test_a_damaged_parquet_is_refused(tmp_path):
    path = parquet(tmp_path, pandas.DataFrame({"z": [1, 2], "y": [0, 1]}))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"a file of Parquet in .*t\.parquet .*Write it again"):
        read_table(path)


def test_an_index_with_the_name_of_a_column_is_refused(tmp_path):
    table = pandas.DataFrame({"a": range(4), "t": ["u", "v"] * 2})
    table.index = pandas.Index(range(4), name="a")
    table.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match=r"different name for every column of .*got 'a' more than"):
        read_table(tmp_path / "data.parquet")


def test_long_texts_are_read_and_the_limit_of_others_stays(tmp_path):
    limit, text = csv.field_size_limit(), "z" * 140_000
    path = tmp_path / "data.csv"
    path.write_text(f"a,t\n1,{text}\n2,v\n")
    assert read_table(path)["t"].tolist() == [text, "v"]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n1\n\n3\n", ["1", None, "3"]),
        ("\n\na\n1\n\n\n3\n\n\n", ["1", None, None, "3"]),
        ("a\n1\nNA\n", ["1", None]),
        ('a\n""\n2\n', [None, "2"]),
    ],
)
def test_a_blank_line_between_rows_of_one_column_is_a_missing_value(tmp_path, text, expected):
    (tmp_path / "a.csv").write_text(text)
    column = read_table(tmp_path / "a.csv")["a"]
    assert column.astype(object).where(column.notna(), None).tolist() == expected


def test_names_of_columns_are_stripped_in_every_kind_of_file(tmp_path):
    table = pandas.DataFrame({" a ": [1.0, 2.0], "b": [3.0, 4.0]})
    table.to_csv(tmp_path / "t.csv", index=False)
    assert list(read_table(tmp_path / "t.csv").columns) == ["a", "b"]
    assert list(read_table(parquet(tmp_path, table)).columns) == ["a", "b"]


def test_columns_of_parquet_with_one_name_are_refused_as_those_of_csv(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    table = pyarrow.table([[1.0, 2.0], [3.0, 4.0]], names=["a", "a"])
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="a different name for every column"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("before", ["", "\n", "\r\n", "\r", "\n\r", "\r\r\n\n", "\ufeff"])
def test_no_row_is_lost_whatever_ends_lines_and_comes_before(tmp_path, columns, end, before):
    rows = [",".join(f"{row}.{column}" for column in range(columns)) for row in range(4)]
    names = ",".join("ab"[:columns])
    (tmp_path / "a.csv").write_bytes((before + end.join([names, *rows, "", ""])).encode())
    table = read_table(tmp_path / "a.csv")
    assert table["a"].tolist() == ["0.0", "1.0", "2.0", "3.0"]
    assert list(table.columns) == ["a", "b"][:columns]


@pytest.mark.parametrize("last", ["   \n", "\t\n", "\n\n \n", "  "])
def test_lines_of_blanks_at_the_end_of_one_column_are_no_rows(tmp_path, last):
    (tmp_path / "a.csv").write_text("a\n1\n \n2\n" + last)
    column = read_table(tmp_path / "a.csv")["a"]
    assert column.astype(object).where(column.notna(), None).tolist() == ["1", None, "2"]


def test_values_of_one_column_are_as_they_are_written(tmp_path):
    (tmp_path / "a.csv").write_text('a\n"x\ny"\n"say ""so"""\n"1,5"\n"  "\n')
    assert read_table(tmp_path / "a.csv")["a"].tolist() == ["x\ny", 'say "so"', "1,5", "  "]
