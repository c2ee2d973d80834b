import io
import json
import pickle
import re
import zipfile

import numpy
import pandas
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pyg_modules.datasets import load_encoding, load_file
from pyg_modules.datasets.columns import decimals_like
from pyg_modules.datasets.encoding import CategoryColumn, Encoding, NumberColumn, Target
from pyg_modules.datasets.table_file import read_table
from pyg_modules.datasets.target_column import read_target_like
from tests.own_data import EQUAL, own_table

HEAD = "a,b,kind,y\n"
ROWS = [f"{i},{i * i % 7},{'uv'[i % 2]},{['no', 'yes'][i % 3 == 0]}\n" for i in range(12)]
GOOD = HEAD + "".join(ROWS)


def written(folder, text, name="data.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def with_row(number, row):
    """The good table with another row, counted from 1."""
    rows = [*ROWS]
    rows[number - 1] = row + "\n"
    return HEAD + "".join(rows)


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_a_table_becomes_what_scikit_learn_makes_of_it(name, tmp_path):
    table = own_table(name)
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    data = load_file(path, target="grade")
    order = numpy.arange(len(table))
    features = table.drop(columns="grade")
    numbers = [column for column in features if features[column].dtype.kind == "f"]
    prepared = table[[*numbers, "region"]].copy()
    prepared["region"] = (
        prepared["region"].astype(object).where(prepared["region"].notna(), "(missing)")
    )
    held_out = len(data.test_x)
    assert held_out == -(-len(table) // 5)
    stratify = table["grade"] if name == "wine" else None
    train, test = train_test_split(order, test_size=held_out, stratify=stratify, random_state=0)
    train, test = numpy.sort(train), numpy.sort(test)
    pipeline = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    expected = ColumnTransformer([("n", pipeline, numbers), ("c", encoder, ["region"])])
    expected.fit(prepared.iloc[train])
    for rows, x in ((train, data.train_x), (test, data.test_x)):
        wanted = torch.from_numpy(expected.transform(prepared.iloc[rows])).float()
        torch.testing.assert_close(x, wanted, rtol=1e-5, atol=1e-5)
    grade = table["grade"].to_numpy()
    if name == "wine":
        assert not data.is_regression
        assert data.test_y.tolist() == grade[test].tolist()
    else:
        scaled = (grade[test] - grade[train].mean()) / grade[train].std()
        torch.testing.assert_close(data.test_y[:, 0], torch.from_numpy(scaled).float())


def test_what_was_done_is_said_and_comes_back_from_the_folder(tmp_path):
    table = own_table("wine")
    table.to_csv(tmp_path / "wine.csv", index=False)
    encoding = load_file(tmp_path / "wine.csv", target="grade").encoding
    assert encoding.notes == [
        "target 'grade': 3 classes, '0', '1', '2' (--task regression takes them for numbers)",
        "left out, for they have one value: 'unit'",
        "left out, for they have another text in every row: 'sample'",
        "column 'alcohol': 4 missing, taken to be the median 13.06",
        "column 'region': 4 missing, a category of their own",
        "142 rows to train on, 36 to test on, 17 inputs",
    ]
    encoding.save(tmp_path)
    assert load_encoding(tmp_path) == encoding
    x = encoding.encode(table, "wine.csv")
    assert numpy.array_equal(load_encoding(tmp_path).encode(table, "wine.csv"), x)


@pytest.mark.parametrize("first", [0, 1, 2019])
def test_a_column_that_counts_the_rows_is_said(first, tmp_path):
    rows = [f"{first + row},{row**2 % 11},{row % 2}" for row in range(20)]
    path = written(tmp_path, "\n".join(["number,b,y", *rows]))
    told = [note for note in load_file(path, target="y").encoding.notes if "counts" in note]
    assert told == [
        "column 'number': one more in every row, taken for a number that says something; leave it"
        " out of the file if it only counts the rows"
    ]
    path = written(tmp_path, "\n".join(["number,b,y", *rows[::-1]]))
    assert not any("counts" in note for note in load_file(path, target="y").encoding.notes)


@pytest.mark.parametrize(
    "damage",
    ["{}", "[]", "no JSON", '{"format_version": 2}', '{"format_version": 1, "numbers": [{}]}'],
)
def test_an_encoding_that_is_damaged_is_refused(damage, tmp_path):
    (tmp_path / "data.json").write_text(damage)
    with pytest.raises(ValueError, match=r"how rows become inputs in .*data\.json.*train again"):
        load_encoding(tmp_path)


def test_arrays_and_separators_and_marks_of_spreadsheets_are_read(tmp_path):
    x, y = numpy.random.default_rng(0).normal(size=(30, 3)), numpy.arange(30) % 3
    numpy.savez(tmp_path / "a.npz", x=x, y=y)
    arrays = load_file(tmp_path / "a.npz")
    frame = pandas.DataFrame(x, columns=["x0", "x1", "x2"]).assign(y=y)
    frame.to_csv(tmp_path / "b.csv", index=False, sep=";", encoding="utf-8-sig")
    for data in (arrays, load_file(tmp_path / "b.csv", target="y")):
        assert (data.num_features, data.num_outputs, data.is_regression) == (3, 3, False)
        torch.testing.assert_close(data.train_x, arrays.train_x)
    y = numpy.array(["b", "a", "c"])[y]
    numpy.savez(tmp_path / "c.npz", x=x, y=y)
    assert load_file(tmp_path / "c.npz").encoding.target.classes == ["a", "b", "c"]
    assert load_file(tmp_path / "a.npz", task="regression").is_regression


def test_columns_that_are_named_as_categories_are(tmp_path):
    path = written(tmp_path, GOOD)
    encoding = load_file(path, target="y", categories=["b"]).encoding
    assert [column.name for column in encoding.numbers] == ["a"]
    # Squares modulo 7.
    assert set(encoding.categories[0].categories) <= {"0", "1", "2", "4"}
    assert [column.name for column in encoding.categories] == ["b", "kind"]


def test_names_and_categories_are_what_the_file_says(tmp_path):
    rows = [f"{i};{['007', '7', '7 ', '7.0'][i % 4]};{'uv'[i % 2]}\n" for i in range(16)]
    path = written(tmp_path, "NA;'a, b, c';y\n".replace("'", '"') + "".join(rows))
    encoding = load_file(path, target="y", categories=["a, b, c"]).encoding
    assert [column.name for column in encoding.numbers] == ["NA"]
    assert [column.categories for column in encoding.categories] == [["007", "7"]]


def test_classes_may_be_written_as_numbers_and_not_be_any(tmp_path):
    text = "a,y\n" + "".join(f"{i},{['10 %', '20 %', 'x'][i % 3]}\n" for i in range(12))
    data = load_file(written(tmp_path, text), target="y", task="classification")
    assert data.encoding.target.classes == ["10 %", "20 %", "x"]


@pytest.mark.parametrize(
    ("ways", "classes"),
    [
        (["+1", "-1", "1"], ["-1", "1"]),
        (["1", "1.", "0"], ["0", "1"]),
        (["1", "1e0", "0"], ["0", "1"]),
        (["0", "-0", "1", "1.00"], ["0", "1"]),
        (["1", "01", "2"], ["1", "2"]),
        (["01", "02", "10"], ["01", "02", "10"]),
        (["9007199254740993", "9007199254740993.0", "5"], ["5", "9007199254740993"]),
    ],
)
def test_an_integer_is_one_class_however_it_is_written(ways, classes, tmp_path):
    cells = [*ways * (24 // len(ways))]
    path = written(tmp_path, "a,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    test = written(
        tmp_path, "a,y\n" + "".join(f"{99 + i},{cell}\n" for i, cell in enumerate(ways)), "test.csv"
    )
    data = load_file(path, test, target="y")
    assert data.encoding.target.classes == classes
    numbers = [float(name) for name in classes]
    assert data.train_y.tolist() == [numbers.index(float(cell)) for cell in cells]
    assert data.test_y.tolist() == [numbers.index(float(cell)) for cell in ways]


def test_classes_of_a_test_file_may_be_written_otherwise_unless_they_are_names(tmp_path):
    rows = [f"{i},{['01', '02'][i % 2]}\n" for i in range(12)]
    path = written(tmp_path, "a,y\n" + "".join(rows))
    test = written(tmp_path, "a,y\n77,1\n78,2.0\n", "test.csv")
    assert load_file(path, test, target="y").test_y.tolist() == [0, 1]
    rows = [f"{i},{['01', '1', 'x'][i % 3]}\n" for i in range(12)]
    path = written(tmp_path, "a,y\n" + "".join(rows))
    with pytest.raises(ValueError, match=r"classes of the training data, '01', '1', 'x'.*got '2'"):
        load_file(path, test, target="y", task="classification")


def test_an_input_that_is_too_large_after_scaling_is_named(tmp_path):
    text = "a,y\n" + "".join(f"{i}e-9,{'uv'[i % 2]}\n" for i in range(12))
    encoding = load_file(written(tmp_path, text), target="y").encoding
    with pytest.raises(ValueError, match=r"column 'a' of new\.csv \(got 1e\+35 in row 2\)"):
        encoding.encode(pandas.DataFrame({"a": [1.0, 1e35]}), "new.csv")


def test_a_test_file_may_have_new_categories_and_columns_which_is_said(tmp_path):
    path = written(tmp_path, GOOD)
    test = written(tmp_path, "y,kind,b,a,c\nno,w,1,2,3\nyes,u,1,,3\n", "test.csv")
    data = load_file(path, test, target="y")
    assert (len(data.train_x), len(data.test_x)) == (12, 2)
    assert data.test_y.tolist() == [0, 1]
    assert data.test_x[0, 2:].tolist() == [0, 0]
    assert data.encoding.notes[-3:] == [
        "column 'kind' has 'w', which the training part has not: none of its categories is taken",
        f"{test} has more columns, which are not used: 'c'",
        "12 rows to train on, 2 to test on, 4 inputs",
    ]


def test_columns_may_be_named_by_numbers_beside_other_names(tmp_path):
    text = "2019,2020,kind,y\n" + "".join(
        f"{2019 + i},{i},{'uv'[i % 2]},{i % 3}\n" for i in range(12)
    )
    encoding = load_file(written(tmp_path, text), target="y").encoding
    assert [column.name for column in encoding.numbers] == ["2019", "2020"]


def test_rows_to_test_on_that_are_trained_on_are_said(tmp_path):
    path = written(tmp_path, GOOD)
    test = written(tmp_path, HEAD + ROWS[3] + ROWS[5] + "99,1,u,no\n", "test.csv")
    notes = load_file(path, test, target="y").encoding.notes
    assert f"2 of the 3 rows of {test} {EQUAL}" in notes
    # Of one file, too; and what is written with fewer digits is the same.
    twice = written(
        tmp_path, HEAD + "".join(row for row in ROWS[:8] for _ in range(6)), "twice.csv"
    )
    encoding = load_file(twice, target="y").encoding
    assert f"10 of the 10 rows to test on {EQUAL}" in encoding.notes
    x = numpy.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    again = numpy.array([float(f"{number:.9g}") for number in x.ravel()])
    y = numpy.zeros(50, dtype=int)
    columns = [NumberColumn(name, 0.0, 0.0, 1.0) for name in "abc"]
    digests_of = Encoding(columns, [], Target("y", ["u"]), {}, []).digests_of
    assert digests_of(x, y) == digests_of(again.reshape(50, 3), y)
    assert len(set(digests_of(x, y))) == 50
    assert digests_of(-0.0 * x, y) == digests_of(0 * x, y)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_times_that_differ_are_other_rows_however_long_ago_they_began(tmp_path, task):
    drawn = numpy.random.default_rng(0)
    times = 1_700_000_000 + 60 * drawn.permutation(200)
    columns = {"time": times, "kind": drawn.integers(2, size=200), "y": drawn.integers(2, size=200)}
    if task == "regression":
        columns["time"], columns["y"] = columns["y"], columns["time"]
    table = pandas.DataFrame(columns)
    table.to_csv(tmp_path / "a.csv", index=False)
    encoding = load_file(tmp_path / "a.csv", target="y", task=task).encoding
    assert not any("trained on, in" in note for note in encoding.notes)
    # And the same ones are the same.
    rows = table.iloc[:30]
    x, y = encoding.values(rows, "a.csv"), rows["y"].to_numpy()
    assert 0 < sum(digest in encoding.trained_on for digest in encoding.digests_of(x, y)) < 30


def test_rows_that_differ_in_six_digits_are_others_beside_an_outlier_too(tmp_path):
    rows = [f"{i},{i / 1000},{i % 2}\n" for i in range(1000, 1060)]
    path = written(tmp_path, "a,b,y\n" + "".join(rows) + "1e12,1e12,0\n")
    test = written(tmp_path, "a,b,y\n1001,1.00101,1\n1003,1.003,1\n1002,1.003,0\n", "test.csv")
    encoding = load_file(path, test, target="y").encoding
    assert f"1 of the 3 rows of {test} {EQUAL}" in encoding.notes
    assert not any("trained on, in" in note for note in load_file(path, target="y").encoding.notes)
    # Targets that are numbers, likewise.
    rows = [f"{i % 2},{i}\n" for i in range(60)]
    path = written(tmp_path, "a,y\n" + "".join(rows) + "1,1e12\n")
    test = written(tmp_path, "a,y\n1,0.5\n1,3\n0,3\n", "test.csv")
    notes = load_file(path, test, target="y", task="regression").encoding.notes
    assert f"1 of the 3 rows of {test} {EQUAL}" in notes


def test_a_row_with_something_missing_equals_one_with_the_median(tmp_path):
    path = written(tmp_path, "a,b,y\n" + "".join(f"{i},{-i},{i % 2}\n" for i in range(11)))
    test = written(tmp_path, "a,b,y\n5,,1\n4,,0\n", "test.csv")
    notes = load_file(path, test, target="y").encoding.notes
    assert f"1 of the 2 rows of {test} {EQUAL}" in notes


@pytest.mark.parametrize(
    ("counts", "num_test"),
    [([998, 2], 200), ([90, 5, 3, 2], 20), ([2] * 8, 8), ([40, *[2] * 9], 12)],
)
def test_every_class_is_trained_on_and_tested_on(counts, num_test, tmp_path):
    classes = numpy.repeat(numpy.arange(len(counts)), counts)
    rows = [f"{i / 7},{label}\n" for i, label in enumerate(classes)]
    path = written(tmp_path, "a,y\n" + "".join(rows))
    data, again = (load_file(path, target="y", task="classification") for _ in range(2))
    parts = data.train_y.bincount().tolist(), data.test_y.bincount().tolist()
    assert min(parts[0]) >= 1 <= min(parts[1])
    assert [sum(pair) for pair in zip(*parts, strict=True)] == counts
    assert len(data.test_y) == num_test
    assert torch.equal(data.test_x, again.test_x)


def test_rows_of_a_rare_class_are_exchanged_and_no_others(tmp_path):
    classes = numpy.repeat([0, 1], [998, 2])
    path = written(tmp_path, "a,y\n" + "".join(f"{i},{y}\n" for i, y in enumerate(classes)))
    data = load_file(path, target="y")
    (number,) = data.encoding.numbers
    found = (data.test_x[:, 0].double() * number.scale + number.mean).round().long().tolist()
    _, test = train_test_split(numpy.arange(1000), test_size=200, stratify=classes, random_state=0)
    assert len(set(test.tolist()) - set(found)) == 1
    (new,) = set(found) - set(test.tolist())
    assert new in (998, 999)


@pytest.mark.parametrize("flag", ["1", "1.0", "0.5"])
def test_a_number_that_is_there_or_missing_is_a_category(flag, tmp_path):
    rows = [f"{i},{flag if i % 3 else ''},,{'uv'[i % 2]}\n" for i in range(30)]
    path = written(tmp_path, "a,flag,empty,y\n" + "".join(rows))
    data = load_file(path, target="y")
    (column,) = data.encoding.categories
    assert (column.name, column.categories) == ("flag", ["(missing)", flag.removesuffix(".0")])
    assert data.train_x[:, 1:].sum(dim=1).tolist() == [1] * 24
    notes = data.encoding.notes
    assert "left out, for they have one value: 'empty'" in notes
    missing = int(data.train_x[:, 1].sum())
    assert f"column 'flag': {missing} missing, a category of their own" in notes
    x = data.encoding.encode(pandas.DataFrame({"a": [0, 1], "flag": [float(flag), None]}), "new")
    assert x[:, 1:].tolist() == [[0, 1], [1, 0]]


def test_rows_to_test_on_are_others_than_those_to_train_on(tmp_path):
    path, copied = written(tmp_path, GOOD), written(tmp_path, GOOD, "copied.csv")
    (tmp_path / "link.csv").symlink_to(path)
    for test in (path, copied, tmp_path / "link.csv"):
        with pytest.raises(ValueError, match=r"other rows to test on .*\.csv\)\. Give rows that"):
            load_file(path, test, target="y")


MISTAKES = {
    "no file": (None, {}, r"the file .*data\.csv \(got none of that name"),
    "empty": ("", {}, r"rows in .*data\.csv \(got an empty file\)"),
    "blank": ("\n\n", {}, r"rows in .*data\.csv \(got an empty file\)"),
    "names only": (HEAD, {}, r"rows in .*data\.csv \(got names of columns only\)\. Add"),
    "no names": ("1,2\n3,4\n", {}, r"names of columns in the first line .*got values: '1', '2'"),
    "no names, and a text": (
        "5.1,,u\n4.9,3,v\n4.7,3.2,u\n",
        {"target": "u"},
        r"names of columns in the first line .*got values: '5.1', '', 'u'",
    ),
    "a name twice": ("a,a,y\n1,2,3\n", {}, r"different name .*got 'a' more than once\)\. Rename"),
    "no name": ("a,,y\n1,2,3\n", {}, r"a name for every column .*none for column 2"),
    "a long line": (
        GOOD + "1,2,3,4,5\n",
        {},
        r"equally many columns .*5 values below 4 names, in line 14",
    ),
    "a short line": (with_row(4, "1,2,u"), {}, r"3 values below 4 names, in line 5\)\. Correct"),
    "an open quote": (with_row(4, '1,2,"u,no'), {}, r"unexpected end of data, in line 13\)"),
    "latin-1": (GOOD.encode() + b"1,2,\xe4,no\n", {}, r"text of UTF-8 .*0xe4.*CSV UTF-8"),
    "another kind": (GOOD, {"name": "data.xlsx"}, r"file \.csv, \.parquet, \.npz .*Save it as"),
    "no npz": (GOOD, {"name": "data.npz"}, r"numpy\.savez in .*data\.npz .*got none.*x=x, y=y"),
    "no target": (GOOD, {"target": None}, r"--target, .*'a', 'b', 'kind', 'y' in .*Name it"),
    "unknown target": (GOOD, {"target": "z"}, r"the target 'z' in .*got 'a', 'b', 'kind', 'y'"),
    "target with a slip": (
        "c1,c2,c3,c4,c5,c6,quality\n" + "1,2,3,4,5,6,a\n" * 4,
        {"target": "Qualty"},
        r"the target 'Qualty' in .*got 'quality', 'c1', 'c2', 'c3', 'c4' and 2 more",
    ),
    "target alone": ("y\n1\n2\n", {}, r"columns beside the target 'y'.*got none\)\. Add"),
    "target of its own in every row": (
        GOOD.replace("yes", "{}").replace("no", "{}").format(*map("t{}".format, range(12))),
        {},
        r"classes that several rows have \(got 12 different values in 12 rows of column 'y'",
    ),
    "numbers of rows": (
        "a,y\n" + "".join(f"{i % 5},{i}\n" for i in range(12)),
        {},
        r"depends on the other columns \(got column 'y' .*--task regression",
    ),
    "as many classes as rows": (GOOD, {"target": "a", "task": "classification"}, r"12 rows of col"),
    "one class": (GOOD.replace("yes", "no"), {}, r"two classes .*'y' .*got one, no, in all 12"),
    "a count, one of it once": (
        "a,y\n" + "".join(f"{i},{i % 3}\n" for i in range(40)) + "40,7\n",
        {},
        r"two rows at least of every class .*got one of '7', row 41.*or predict it .*--task regr",
    ),
    "a class of one row": (
        "a,y\n" + "".join(f"{i},{'no' if i % 2 else 'yes'}\n" for i in range(40)) + "40,maybe\n",
        {},
        r"two rows at least of every class .*got one of 'maybe', row 41\)\. Add .*leave it out\.$",
    ),
    "one number": (
        "a,y\n" + "1,5\n2,5\n" * 8,
        {"task": "regression"},
        r"two classes or numbers at least in column 'y'.*got one, 5, in all 16 rows",
    ),
    "one row": (HEAD + ROWS[0], {}, r"got one, yes, in all 1 rows, from row 1"),
    "few rows": (HEAD + "".join(ROWS[:9]), {}, r"10 rows at least .*got 9, the last is row 9"),
    "a lonely class": (with_row(5, "1,2,u,perhaps"), {}, r"got one of 'perhaps', row 5\)\. Add"),
    "no target in a row": (with_row(6, "1,2,u,"), {}, r"none in column 'y', row 6; 1 in all\)"),
    "NaN in the target": (with_row(6, "1,2,u,nan"), {}, r"none in column 'y', row 6"),
    "text in a number column": (
        with_row(7, "1,abc,u,no"),
        {},
        r"numbers in column 'b' of .*\(got 'abc' in row 7\)\. Correct.*--categories b",
    ),
    "infinite": (with_row(8, "inf,1,u,no"), {}, r"finite numbers in column 'a'.*inf in row 8"),
    "too large": (with_row(8, "1e999,1,u,no"), {}, r"finite numbers in column 'a'.*in row 8"),
    "too large for the network": (
        with_row(8, "1e39,1,u,no"),
        {},
        r"1e39 in row 8\), at most 3\.4e\+38",
    ),
    "a target too large": (
        "a,y\n" + "".join(f"{i},{i}.5e200\n" for i in range(12)),
        {},
        r"finite numbers in column 'y'.*0\.5e200 in row 1",
    ),
    "a target too small": (
        "a,y\n" + "".join(f"{i},{i}.5e-300\n" for i in range(12)),
        {},
        r"differ by more than rounding in column 'y' of .*another unit",
    ),
    "decimal commas": (
        "a;y\n" + "".join(f"{i},5;{'uv'[i % 2]}\n" for i in range(12)),
        {},
        r"numbers in column 'a' .*got '0,5' in row 1\)\. Correct it \(1\.5, not 1,5",
    ),
    "percent": (
        "a,y\n" + "".join(f"{i % 3} %,{'uv'[i % 2]}\n" for i in range(12)),
        {},
        r"numbers in column 'a' .*got '0 %' in row 1",
    ),
    "thousands in the target": (
        "a,y\n" + "".join(f'{i},"{i + 1},000"\n' for i in range(12)),
        {},
        r"numbers in column 'y' .*got '1,000' in row 1",
    ),
    "a class called None": (GOOD.replace("yes", "None"), {}, r"'y', row 1.* called NA or None"),
    "text in a number target": (
        GOOD,
        {"target": "kind", "task": "regression"},
        r"numbers in column 'kind' .*got 'u' in row 1\)\. .*--task classification",
    ),
    "an unknown task": (
        GOOD,
        {"task": "ranking"},
        r"task to be one of .classification., .regression. \(got",
    ),
    "unknown categories": (GOOD, {"categories": ["z"]}, r"in --categories \(got 'z'\)"),
    "the target as a category": (GOOD, {"categories": ["y"]}, r"--categories \(got 'y'\).*not the"),
    "nothing but constants": ("a,y\n" + "1,u\n1,v\n" * 6, {}, r"says something .*one value: 'a'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_column_row_and_remedy(mistake, tmp_path):
    text, options, message = MISTAKES[mistake]
    options = {"target": "y", **options}
    path = tmp_path / options.pop("name", "data.csv")
    if text is not None:
        written(tmp_path, text, path.name)
    with pytest.raises(ValueError, match=message) as error:
        load_file(path, **options)
    assert str(error.value).startswith("Expected ")
    assert "\n" not in str(error.value)


MISTAKES_IN_TEST = {
    "a column less": ("a,kind,y\n1,u,no\n", r"columns of the training data in .*got no 'b'"),
    "no target": ("a,b,kind\n1,2,u\n", r"the target 'y' in .*test\.csv .*pyg-modules predict"),
    "a new class": ("a,b,kind,y\n1,2,u,no\n1,2,u,maybe\n", r"'no', 'yes', .*'maybe' in row 2"),
    "a missing target": ("a,b,kind,y\n1,2,u,\n1,2,u,no\n", r"test\.csv .*column 'y', row 1"),
    "a text": ("a,b,kind,y\n1,2,u,no\n1,x,u,no\n", r"numbers in column 'b' .*'x' in row 2"),
    "infinite": ("a,b,kind,y\n1,2,u,no\n-inf,1,u,no\n", r"finite .* 'a' of .*test\.csv .*row 2"),
    "empty": ("", r"rows in .*test\.csv \(got an empty file\)"),
}


@pytest.mark.parametrize("mistake", MISTAKES_IN_TEST)
def test_a_mistake_in_the_test_file_is_named_likewise(mistake, tmp_path):
    text, message = MISTAKES_IN_TEST[mistake]
    path, test = written(tmp_path, GOOD), written(tmp_path, text, "test.csv")
    with pytest.raises(ValueError, match=message):
        load_file(path, test, target="y")


def test_a_regression_needs_different_targets_to_test_on(tmp_path):
    path = written(tmp_path, "a,y\n" + "".join(f"{i},{i / 7}\n" for i in range(30)))
    test = written(tmp_path, "a,y\n1,2.5\n2,2.5\n", "test.csv")
    with pytest.raises(ValueError, match=r"two rows at least with different targets to test on"):
        load_file(path, test, target="y")


X = numpy.ones((12, 2))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": X[:, 0]}, r"arrays x and y .*got no x"),
        ({"x": X}, r"the target 'y' in .*got 'x0', 'x1'"),
        ({"x": X[:, 0], "y": X[:, 0]}, r"\[rows, columns\].*got float64 \[12\]\).*reshape"),
        ({"x": X.astype(str), "y": X[:, 0]}, r"x of numbers.*got <U"),
        ({"x": X, "y": X}, r"one for each of the 12 rows of x.*got float64 \[12, 2\]"),
        ({"x": X, "y": X[:5, 0]}, r"one for each of the 12 rows.*got float64 \[5\]"),
        ({"x": X, "y": numpy.array([None] * 12)}, r"got none, or one with objects"),
        ({"x": X, "y": numpy.where(numpy.arange(12) == 3, numpy.nan, 1)}, r"'y', row 4"),
        ({"x": numpy.where(X > 0, numpy.inf, 0), "y": numpy.arange(12) % 2}, r"'x0'.*inf in row 1"),
    ],
)
def test_a_mistake_in_arrays_is_named(arrays, message, tmp_path):
    numpy.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        load_file(tmp_path / "a.npz")


def stored(name, content):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(name, content)
    return memory.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(X), r"numpy\.savez in .*File is not a zip file"),
        (stored("x", b"text"), r"arrays x and y .*got no x"),
        (stored("x.npy", b"text"), r"numpy\.savez in .*got none"),
        (stored("x.npy", pickle.dumps(X)), r"numpy\.savez in .*got none"),
    ],
)
def test_archives_of_something_else_are_refused(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_file(written(tmp_path, content, "a.npz"))


def test_a_damaged_archive_is_refused_wherever_the_damage_is(tmp_path):
    numpy.savez_compressed(tmp_path / "a.npz", x=numpy.arange(24.0).reshape(12, 2), y=X[:, 0])
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path = written(tmp_path, bytes(damaged), "b.npz")
        try:
            table = read_table(path)
        except ValueError as error:
            assert str(error).startswith("Expected ")  # noqa: PT017, damage of a date is none.
        else:
            assert table["x1"].tolist() == list(range(1, 24, 2))


def test_nullable_texts_with_missing_values_are_as_others(tmp_path):
    city, age = ["Bonn", "Rome", None, "Oslo"] * 10, ["20", "31", None, "52"] * 10
    table = pandas.DataFrame({"age": age, "city": city, "t": ["u", "v"] * 20})
    encodings = []
    for name, frame in (("plain", table), ("nullable", table.convert_dtypes())):
        frame.to_parquet(tmp_path / f"{name}.parquet")
        data = load_file(tmp_path / f"{name}.parquet", target="t")
        encodings.append((data.train_x, data.encoding.numbers, data.encoding.categories))
    assert torch.equal(encodings[0][0], encodings[1][0])
    assert encodings[0][1:] == encodings[1][1:]
    assert encodings[0][0].size(1) == 5


@pytest.mark.parametrize("num_missing", [0, 1, 2, 15])
def test_names_are_left_out_also_where_some_are_missing(num_missing, tmp_path):
    rows = [f"{i % 7},{f'n{i}' if i >= num_missing else ''},{'uv'[i % 2]}\n" for i in range(40)]
    path = written(tmp_path, "a,name,t\n" + "".join(rows))
    encoding = load_file(path, target="t").encoding
    assert encoding.num_features == 1
    assert "left out, for they have another text in every row: 'name'" in encoding.notes


def test_a_number_that_is_there_is_there_however_it_is_written(tmp_path):
    spelled = ("0.5", "", "0.50", "5e-1")
    rows = "".join(f"{i % 7},{spelled[i % 4]},{'uuvv'[i % 4]}\n" for i in range(40))
    path, new = written(tmp_path, f"a,fee,t\n{rows}"), "a,fee,t\n1,.5,u\n2,,v\n3,0.5000,u\n4,,v\n"
    data = load_file(path, written(tmp_path, new, "new.csv"), target="t")
    (fee,) = data.encoding.categories
    assert (fee.categories, fee.are_numbers) == (["(missing)", "0.5"], True)
    assert data.test_x[:, 1:].tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert not any("which the training part has not" in note for note in data.encoding.notes)
    data.encoding.save(tmp_path)
    table = pandas.DataFrame({"a": [1.0, 2.0], "fee": numpy.float32([0.5, numpy.nan])})
    again = load_encoding(tmp_path).encode(table, "frame")
    assert again[:, 1:].tolist() == [[0, 1], [1, 0]]


def test_single_precision_names_the_number_that_was_meant(tmp_path):
    fee = numpy.where(numpy.arange(40) % 2, numpy.float32("nan"), numpy.float32(0.1))
    table = pandas.DataFrame({"a": range(40), "fee": fee.astype("float32"), "t": ["u", "v"] * 20})
    table.to_parquet(tmp_path / "data.parquet")
    (column,) = load_file(tmp_path / "data.parquet", target="t").encoding.categories
    assert column.categories == ["(missing)", "0.1"]


def test_a_number_that_is_there_may_be_true_in_another_file(tmp_path):
    rows = "".join(f"{i % 7},{'' if i % 2 else '1'},{'uuvv'[i % 4]}\n" for i in range(40))
    flags = pandas.array([True, None] * 20, dtype="boolean")
    new = pandas.DataFrame({"a": [i % 5 for i in range(40)], "fee": flags, "t": ["u", "v"] * 20})
    new.to_parquet(tmp_path / "new.parquet")
    data = load_file(written(tmp_path, f"a,fee,t\n{rows}"), tmp_path / "new.parquet", target="t")
    assert data.test_x[:2, 1:].tolist() == [[0, 1], [1, 0]]


def test_decimals_that_name_categories_are_known_however_they_are_written(tmp_path):
    rows = "".join(f"{i % 7},{('0.50', '1.5', '03')[i % 3]},{'uv'[i % 2]}\n" for i in range(42))
    new = "a,kind,t\n1,0.5,u\n2,15e-1,v\n3,3,u\n4,03,v\n5,1.50,u\n"
    path, other = written(tmp_path, f"a,kind,t\n{rows}"), written(tmp_path, new, "new.csv")
    data = load_file(path, other, target="t", categories=["kind"])
    assert data.encoding.categories[0].categories == ["0.50", "03", "1.5"]
    assert data.test_x[:, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert any("has '3', which the training part has not" in note for note in data.encoding.notes)


def test_names_of_single_precision_in_runs_of_before_are_known():
    column = CategoryColumn("f", ["0.10000000149011612", "0.699999988079071", "a"])
    table = pandas.DataFrame({"f": numpy.float32([0.1, 0.7])})
    assert column.texts_in(table).tolist() == column.categories[:2]
    numbers = pandas.Series(numpy.float32([0.7, 0.1]), name="y")
    found = read_target_like(numbers, "new.parquet", column.categories[:2])
    assert found.tolist() == [1, 0]


def test_what_becomes_categories_without_looking_like_it_is_said(tmp_path):
    rows = 60
    table = pandas.DataFrame(
        {
            "mark": ["?" if row % 3 else str(row / 7) for row in range(rows)],
            "many": [f"kind {row % 30}" for row in range(rows)],
            "few": ["u", "v"] * (rows // 2),
            "y": ["yes", "no", "no"] * (rows // 3),
        }
    )
    table.to_csv(tmp_path / "a.csv", index=False)
    notes = load_file(tmp_path / "a.csv", target="y").encoding.notes
    mark, many = (
        next((note for note in notes if note.startswith(f"column '{name}'")), "")
        for name in ("mark", "many")
    )
    assert re.search(r"1\d numbers among texts such as '\?', taken for 1\d categories", mark)
    assert re.search("2[0-9]|30 categories, an input for each", many)
    assert not any("'few'" in note for note in notes)
    asked = load_file(tmp_path / "a.csv", target="y", categories=["mark", "many"])
    assert not any("an input for each" in note or "among" in note for note in asked.encoding.notes)


def test_numbers_that_are_missing_in_the_rows_to_test_on_are_said(tmp_path):
    table = pandas.DataFrame({"a": range(40), "y": ["yes", "no"] * 20}).astype({"a": float})
    table.to_csv(tmp_path / "a.csv", index=False)
    test = table.assign(a=table["a"].where(table.index % 4 > 0) + 0.5)
    test.to_csv(tmp_path / "b.csv", index=False)
    notes = load_file(tmp_path / "a.csv", tmp_path / "b.csv", target="y").encoding.notes
    assert (
        f"{tmp_path / 'b.csv'}: column 'a': 10 of 40 missing, taken to be the median 19.5 of the"
        " training part"
    ) in notes


def test_names_with_blanks_around_them_are_those_without(tmp_path):
    table = pandas.DataFrame({" a": numpy.arange(20.0), "y ": ["yes", "no"] * 10})
    table["b "] = ["u", "v", "v", "u"] * 5
    table.to_parquet(tmp_path / "t.parquet")
    data = load_file(tmp_path / "t.parquet", target="y ", categories=[" b "])
    data.encoding.save(tmp_path)
    path = tmp_path / "data.json"
    fields = json.loads(path.read_text())
    assert fields["numbers"][0]["name"] == "a"
    fields["numbers"][0]["name"], fields["target"]["name"] = " a", "y "  # As earlier versions did.
    path.write_text(json.dumps(fields))
    again = load_encoding(tmp_path)
    assert again.numbers == data.encoding.numbers
    assert again.target == data.encoding.target


def test_names_that_are_taken_for_others_are_said(tmp_path):
    rows = "".join(f"{i % 7},{('1.1', '1.2', '1.3')[i % 3]},{'uv'[i % 2]}\n" for i in range(42))
    new = "a,version,t\n1,1.10,u\n2,1.4,v\n3,1.2,u\n"
    path, other = written(tmp_path, f"a,version,t\n{rows}"), written(tmp_path, new, "new.csv")
    notes = load_file(path, other, target="t", categories=["version"]).encoding.notes
    said = [note for note in notes if "'version'" in note]
    assert said == [
        "column 'version' has '1.4', which the training part has not: none of its categories is"
        " taken",
        "column 'version' has '1.10', taken for '1.1' of the training part, which is as much: other"
        " names need a letter",
    ]


@pytest.mark.parametrize(
    ("known", "new", "expected"),
    [
        (["20240101.1", "a"], "20240101.2", "20240101.2"),  # The same in single precision.
        (["0.10000000149011612"], "0.1", "0.10000000149011612"),
        (["0.1"], "0.10000000149011612", "0.1"),
        (["0.5", "0.50"], "5e-1", "5e-1"),  # Which of both?
        (["1e300"], "2e300", "2e300"),
    ],
)
def test_decimals_are_alike_if_they_are_as_much_in_one_of_both_precisions(known, new, expected):
    assert decimals_like(numpy.array([new], dtype=object), known).tolist() == [expected]


def test_decimals_in_a_text_that_are_new_classes_are_no_known_ones(tmp_path):
    rows = "".join(f"{i},{('1.1', '1.2')[i % 2]}\n" for i in range(20))
    path = written(tmp_path, f"a,t\n{rows}")
    test = written(tmp_path, "a,t\n1,1.1\n2,1.10\n", "new.csv")
    with pytest.raises(ValueError, match=r"Expected the classes .* \(got '1.10' in row 2\)"):
        load_file(path, test, target="t", task="classification")


def test_a_number_too_far_from_those_trained_on_is_named_by_its_row_in_the_file(tmp_path):
    def of(far):
        table = pandas.DataFrame(
            {"a": 1e-12 * numpy.arange(60), "b": range(60), "y": ["u", "v"] * 30}
        )
        table.loc[far, "a"] = 1e30
        table.to_csv(tmp_path / "a.csv", index=False)
        return load_file(tmp_path / "a.csv", target="y")

    place = {float(x): number for number, x in enumerate(numpy.arange(60))}
    scaled = of([]).encoding.numbers[1]
    held_out = (of([]).test_x[:, 1].double() * scaled.scale + scaled.mean).round().tolist()
    far = place[held_out[5]]
    with pytest.raises(
        ValueError, match=rf"1e\+30 in row {far + 1}\), at most 3\.4e\+38 times .* trained on\."
    ):
        of([far])


def test_a_column_with_a_comma_in_its_name_is_named_as_the_command_line_takes_it(tmp_path):
    path = written(tmp_path, '"size, cm",y\n1,u\n2,v\nx,u\n')
    with pytest.raises(ValueError, match=r"""say --categories '"size, cm"'\."""):
        load_file(path, target="y")
