"""How much partitions of the same units agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from torch import Tensor

from pyg_modules.partition.labels import read_labels


def agreement(labels: Tensor, other: Tensor) -> dict[str, float]:
    """How much two partitions agree, whatever the numbers of their modules.

    Both measures are those of scikit-learn, over the units that neither partition labels −1.

    From `Comparing partitions <https://doi.org/10.1007/BF01908075>`_ and `Cluster ensembles
    <https://www.jmlr.org/papers/v3/strehl02a.html>`_.

    Args:
        labels (LongTensor): Module of every unit, ``[N]``, −1 for shared units.
        other (LongTensor): Another partition of the same units, ``[N]``; it may have another number
            of modules.

    Returns:
        dict of str to float: ``"ari"``, the adjusted Rand index, 1 for equal partitions and 0 on
        average for random ones, and ``"nmi"``, the normalized mutual information, in [0, 1].

    Raises:
        TypeError: If one of them is not an integer tensor.
        ValueError: If one of them has a gap, their lengths differ or no unit is in a module of
            both.
    """
    # Here, because it takes a second to import, and importing the package needs none of it.
    from sklearn.metrics import normalized_mutual_info_score

    nmi = normalized_mutual_info_score(*_compared(labels, other))
    return {"ari": adjusted_rand_index(labels, other), "nmi": float(nmi)}


def adjusted_rand_index(labels: Tensor, other: Tensor) -> float:
    """That of :func:`agreement` alone, in half the time."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_compared(labels, other)))


def _compared(labels: Tensor, other: Tensor) -> tuple[Any, Any]:
    """The modules of the units that both partitions label."""
    labels, other = (read_labels(one)[0] for one in (labels, other))
    if labels.shape != other.shape:
        raise ValueError(
            f"Expected two partitions of the same units (got labels for {len(labels)} and"
            f" {len(other)} units)."
            " Compare labels of one layer, or of layers of one graph."
        )
    labels, other = labels.cpu(), other.cpu()
    compared = (labels >= 0) & (other >= 0)
    if not bool(compared.any()):
        raise ValueError(
            "Expected at least one unit in a module of both partitions (got none). Make them with"
            " the same scope."
        )
    return labels[compared].numpy(), other[compared].numpy()


def stability(partitions: Sequence[Tensor]) -> dict[str, float]:
    r"""Mean agreement of all pairs of partitions, e.g. of those from several seeds.

    .. math::
        \frac{2}{R (R - 1)} \sum_{r < s} \mathrm{agreement}(\ell_r, \ell_s)

    Args:
        partitions (sequence of LongTensor): At least two partitions :math:`\ell_r` of the same
            units, ``[N]`` each, −1 for shared units.

    Returns:
        dict of str to float: ``"ari"`` and ``"nmi"``, as in :func:`agreement`.

    Raises:
        TypeError: If one of them is not an integer tensor.
        ValueError: If there are fewer than two, or two of them cannot be compared.
    """
    if len(partitions) < 2:
        raise ValueError(
            f"Expected at least two partitions (got {len(partitions)}). Repeat the run with another"
            f" seed."
        )
    pairs = [agreement(*pair) for pair in combinations(partitions, 2)]
    return {name: sum(pair[name] for pair in pairs) / len(pairs) for name in ("ari", "nmi")}
