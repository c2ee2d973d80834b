from unittest.mock import patch

import pandas
import pytest

from pyg_modules.datasets import load_file
from pyg_modules.datasets.columns import is_of_numbers, numbers_in, texts_in
from pyg_modules.datasets.table_file import check_types, read_table


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
    with pytest.raises(ValueError, match=r"a\.csv \(it is not there, or no file"):
        read_table(tmp_path / "a.csv")
