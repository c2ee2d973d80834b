import gzip
import random

import numpy
import pytest
import torch
from sklearn.datasets import load_digits

from pyg_modules.datasets import Dataset, load_dataset


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    """A folder laid out like the real one, with counterfeit optdigits and MNIST."""
    monkeypatch.delenv("PYG_MODULES_DATA", raising=False)
    rand = numpy.random.default_rng(0)
    (tmp_path / "optdigits").mkdir()
    for name, rows in (("tra", 3823), ("tes", 1797)):
        table = numpy.hstack([rand.integers(0, 17, (rows, 64)), rand.integers(0, 10, (rows, 1))])
        header = ",".join(f"Block {block}" for block in range(1, 65)) + ",Class"
        path = tmp_path / "optdigits" / f"optdigits.{name}.csv"
        numpy.savetxt(path, table, fmt="%d", delimiter=",", header=header, comments="")
    (tmp_path / "mnist").mkdir()
    write_idx(tmp_path / "mnist/t10k-images-idx3-ubyte.gz", rand.integers(0, 256, (10000, 28, 28)))
    write_idx(tmp_path / "mnist/t10k-labels-idx1-ubyte.gz", rand.integers(0, 10, 10000))
    return tmp_path


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(numpy.uint8).tobytes(), compresslevel=1))


def test_digits_is_split_once_and_for_all():
    data = load_dataset("digits")
    assert (data.num_features, data.num_classes) == (64, 10)
    assert data.train_x.shape == (1437, 64)
    assert data.test_x.shape == (360, 64)
    assert data.train_x.dtype == torch.float32
    assert (data.train_x.min(), data.train_x.max()) == (0, 1)
    # Together the rows of scikit-learn, each once.
    rows = torch.cat([data.train_x, data.test_x]) * 16
    expected = torch.from_numpy(load_digits().data).float()
    assert torch.equal(rows.sort(dim=0).values, expected.sort(dim=0).values)
    assert data.test_y.bincount().min() >= 34
    assert torch.equal(load_dataset("digits").test_x, data.test_x)


def test_optdigits_reads_the_official_split(data_root):
    data = load_dataset("optdigits", data_root)
    assert (len(data.train_x), len(data.test_x)) == (3823, 1797)
    first = (data_root / "optdigits/optdigits.tra.csv").read_text().splitlines()[1].split(",")
    assert (data.train_x[0] * 16).tolist() == [float(value) for value in first[:64]]
    assert data.train_y[0] == int(first[64])


def test_mnist10k_is_a_fixed_permutation_of_the_file(data_root):
    data = load_dataset("mnist10k", data_root)
    assert (data.train_x.shape, data.test_x.shape) == ((8000, 784), (2000, 784))
    content = gzip.decompress((data_root / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((data_root / "mnist/t10k-labels-idx1-ubyte.gz").read_bytes())
    order = torch.randperm(10000, generator=torch.Generator().manual_seed(0))
    for position in (0, 7999):
        start = 16 + 784 * int(order[position])
        image = torch.frombuffer(bytearray(content[start : start + 784]), dtype=torch.uint8)
        torch.testing.assert_close(data.train_x[position], image / 255)
        assert data.train_y[position] == labels[8 + int(order[position])]


def test_the_environment_variable_names_the_data_root(data_root, monkeypatch):
    monkeypatch.setenv("PYG_MODULES_DATA", str(data_root))
    assert len(load_dataset("optdigits").train_x) == 3823


def test_mnist1d_is_generated_and_leaves_the_sources_of_randomness_alone():
    random.seed(3)
    numpy.random.seed(3)
    expected = random.random(), numpy.random.rand()
    random.seed(3)
    numpy.random.seed(3)
    data = load_dataset("mnist1d")
    assert (data.train_x.shape, data.test_x.shape) == ((4000, 40), (1000, 40))
    assert (random.random(), numpy.random.rand()) == expected


def test_downloads_are_checked_and_split_like_the_local_copies(data_root, monkeypatch):
    local = {name: load_dataset(name, data_root) for name in ("optdigits", "mnist10k")}
    digits = load_digits()
    train = local["optdigits"].train_x.numpy() * 16.0

    def fetch(name, **_):
        if name == "optdigits":
            x = numpy.vstack([train, digits.data])
            return x, numpy.concatenate([local["optdigits"].train_y, digits.target]).astype(str)
        x = numpy.zeros((70_000, 784))
        order = torch.randperm(10_000, generator=torch.Generator().manual_seed(0)).numpy()
        images = torch.cat([local["mnist10k"].train_x, local["mnist10k"].test_x]).numpy() * 255.0
        x[60_000 + order] = images
        return x, numpy.full(70_000, "0")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    data = load_dataset("optdigits")
    assert torch.equal(data.train_x, local["optdigits"].train_x)
    torch.testing.assert_close(data.test_x * 16, torch.from_numpy(digits.data).float())
    torch.testing.assert_close(load_dataset("mnist10k").test_x, local["mnist10k"].test_x)

    digits.data = digits.data[::-1]
    train = train[::-1]
    with pytest.raises(ValueError, match=r"official test rows.*--data-root"):
        load_dataset("optdigits")


def test_an_unreachable_server_is_said_with_the_remedy(monkeypatch):
    monkeypatch.delenv("PYG_MODULES_DATA", raising=False)

    def fetch(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(ValueError, match=r"OpenML \(got: no route to host\).*--data-root"):
        load_dataset("mnist10k")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"one of 'digits', 'optdigits'.*got 'imagenet'"):
        load_dataset("imagenet")


def test_missing_and_damaged_files_are_refused(data_root):
    table = data_root / "optdigits/optdigits.tra.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"3823 rows.*optdigits.tra.csv.*got \[3822, 65\]"):
        load_dataset("optdigits", data_root)
    table.write_text("\n".join([*lines[:5], "not,numbers"]))
    with pytest.raises(ValueError, match=r"numbers in .*optdigits.tra.csv"):
        load_dataset("optdigits", data_root)
    table.unlink()
    with pytest.raises(
        ValueError, match=r"optdigits.tra.csv .*got none of that name.*PYG_MODULES_DATA"
    ):
        load_dataset("optdigits", data_root)

    images = data_root / "mnist/t10k-images-idx3-ubyte.gz"
    content = images.read_bytes()
    images.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"gzip file .*images.*Copy it again"):
        load_dataset("mnist10k", data_root)
    write_idx(images, numpy.zeros((3, 28, 28)))
    with pytest.raises(ValueError, match=r"\[10000, 28, 28\] bytes.*images"):
        load_dataset("mnist10k", data_root)


def test_nan_and_infinity_are_refused_with_their_row():
    x, y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)
    for value in (float("nan"), float("inf")):
        bad = x.clone()
        bad[2, 1] = value
        with pytest.raises(ValueError, match=r"finite inputs in mine .*test row 2"):
            Dataset("mine", x, y, bad, y)
