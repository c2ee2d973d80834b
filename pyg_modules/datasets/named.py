"""Classification data sets by name, each with a fixed split into training and test data."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from pyg_modules._arrays import Floats, Ints
from pyg_modules._checks import check_choice
from pyg_modules._files import as_path
from pyg_modules.datasets.dataset import Dataset

DATA_ROOT_VARIABLE = "PYG_MODULES_DATA"

Arrays = tuple[NDArray[numpy.float32], Ints]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is loaded.

    Args:
        description (str): One line for a list.
        load (Callable): From the data root, or ``None`` for the source that needs none, to
            training and test arrays.
        image_shape (tuple of int, optional): Height and width, if the features are an image's.
    """

    description: str
    load: Callable[[Path | None], tuple[Arrays, Arrays]]
    image_shape: tuple[int, int] | None = None


def load_dataset(name: str, data_root: str | os.PathLike[str] | None = None) -> Dataset:
    """A data set of :data:`DATASETS`, features scaled to about unit range.

    Args:
        name (str): Its name.
        data_root (path, optional): Folder with local copies: ``optdigits/`` and ``mnist/``. By
            default the environment variable ``PYG_MODULES_DATA``; without either, what is neither
            shipped nor generated is downloaded through :func:`sklearn.datasets.fetch_openml`.

    Raises:
        ImportError: If the package that generates it has to be installed first.
        TypeError: If ``data_root`` is no path.
        ValueError: If the name is unknown, or a file is missing or damaged.
    """
    check_choice("dataset", name, DATASETS)
    root = data_root or os.environ.get(DATA_ROOT_VARIABLE)
    path = as_path("data_root", root) if root else None
    (train_x, train_y), (test_x, test_y) = DATASETS[name].load(path)
    return Dataset(
        name,
        torch.from_numpy(train_x),
        torch.from_numpy(train_y),
        torch.from_numpy(test_x),
        torch.from_numpy(test_y),
        DATASETS[name].image_shape,
    )


def _digits(_root: Path | None) -> tuple[Arrays, Arrays]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        (x / 16).astype(numpy.float32), y, test_size=360, stratify=y, random_state=0
    )
    return (train_x, train_y), (test_x, test_y)


def _optdigits(root: Path | None) -> tuple[Arrays, Arrays]:
    num_train = 3823
    if root is None:
        x, y = _fetch_openml("optdigits", num_rows=5620)
        _check_optdigits_order(x[num_train:])
        return _scaled(x[:num_train], y[:num_train], 16), _scaled(x[num_train:], y[num_train:], 16)
    parts = []
    for name, num_rows in (("optdigits.tra.csv", num_train), ("optdigits.tes.csv", 1797)):
        path = _existing(root / "optdigits" / name)
        try:
            table = numpy.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        except ValueError as error:
            raise ValueError(f"Expected numbers in {path} (got: {error}). Copy it again.") from None
        if table.shape != (num_rows, 65):
            raise ValueError(
                f"Expected {num_rows} rows of 64 features and a class in {path} (got"
                f" {list(table.shape)}). Copy it again."
            )
        parts.append(_scaled(table[:, :64], table[:, 64], 16))
    return parts[0], parts[1]


def _check_optdigits_order(test_x: Floats) -> None:
    from sklearn.datasets import load_digits

    # scikit-learn ships exactly the official test rows.
    if not numpy.array_equal(test_x, load_digits().data):
        raise ValueError(
            "Expected the official test rows at the end of OpenML's optdigits (got another order)."
            " Use a local copy: --data-root."
        )


def _mnist10k(root: Path | None) -> tuple[Arrays, Arrays]:
    x: NDArray[Any]
    y: NDArray[Any]
    if root is None:
        all_x, all_y = _fetch_openml("mnist_784", num_rows=70_000)
        x, y = all_x[60_000:], all_y[60_000:]
    else:
        x = _read_idx(root / "mnist" / "t10k-images-idx3-ubyte.gz", (10_000, 28, 28))
        y = _read_idx(root / "mnist" / "t10k-labels-idx1-ubyte.gz", (10_000,))
    order = torch.randperm(
        10_000, generator=torch.Generator("cpu").manual_seed(0), device="cpu"
    ).numpy()
    x, y = x.reshape(10_000, 784)[order], y[order]
    return _scaled(x[:8000], y[:8000], 255), _scaled(x[8000:], y[8000:], 255)


def _mnist1d(_root: Path | None) -> tuple[Arrays, Arrays]:
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError as error:
        raise ImportError(
            "mnist1d needs its generator: pip install 'pyg-modules[train]'"
        ) from error
    # The generator seeds the global sources of randomness; leave them as they were.
    python_state, numpy_state = random.getstate(), numpy.random.get_state()  # noqa: NPY002
    try:
        data = make_dataset(get_dataset_args())
    finally:
        random.setstate(python_state)
        numpy.random.set_state(numpy_state)  # noqa: NPY002
    return _scaled(data["x"], data["y"], 1), _scaled(data["x_test"], data["y_test"], 1)


DATASETS = {
    "digits": DatasetInfo(
        "8x8 digits, 1,437 + 360 samples, shipped with scikit-learn", _digits, (8, 8)
    ),
    "optdigits": DatasetInfo(
        "8x8 digits, official split of 3,823 + 1,797 by writer; --data-root or download",
        _optdigits,
        (8, 8),
    ),
    "mnist10k": DatasetInfo(
        "28x28 digits, MNIST's test images split 8,000 + 2,000; --data-root or download",
        _mnist10k,
        (28, 28),
    ),
    "mnist1d": DatasetInfo("40-step signals, 4,000 + 1,000 samples, generated", _mnist1d),
}


def _scaled(x: NDArray[Any], y: NDArray[Any], maximum: float) -> Arrays:
    return (x / maximum).astype(numpy.float32), y.astype(numpy.int64)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(
            f"Expected the file {path} (got none of that name). Correct --data-root or the variable"
            f" {DATA_ROOT_VARIABLE}, or leave both out to download."
        )
    return path


def _read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[numpy.uint8]:
    """The array in a gzipped IDX file of unsigned bytes."""
    try:
        content = gzip.decompress(_existing(path).read_bytes())
    except (OSError, EOFError) as error:
        raise ValueError(f"Expected a gzip file {path} (got: {error}). Copy it again.") from None
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    values = numpy.frombuffer(content, dtype=numpy.uint8, offset=min(len(header), len(content)))
    if not content.startswith(header) or values.size != numpy.prod(shape):
        raise ValueError(
            f"Expected an IDX file of {list(shape)} bytes in {path} (got {len(content)} bytes that"
            f" begin with {content[:4].hex()}). Copy it again."
        )
    return values.reshape(shape)


def _fetch_openml(name: str, num_rows: int) -> tuple[Floats, Ints]:
    from sklearn.datasets import fetch_openml

    try:
        x, y = fetch_openml(name, version=1, return_X_y=True, as_frame=False, parser="liac-arff")
    except OSError as error:
        raise ValueError(
            f"Expected to download {name} from OpenML (got: {error}). Go online, or name a folder"
            f" with a local copy: --data-root or the variable {DATA_ROOT_VARIABLE}."
        ) from error
    if len(x) != num_rows:
        raise ValueError(
            f"Expected {num_rows} rows of {name} from OpenML (got {len(x)})."
            " Try again, or name a folder with a local copy: --data-root."
        )
    return x, y.astype(numpy.int64)
