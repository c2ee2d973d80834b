from __future__ import annotations

from dataclasses import dataclass, fields
from statistics import mean, stdev
from typing import Any, NamedTuple

from torch import Tensor

from pyg_modules._checks import check_state

# Chosen on planted problems, where the right modules are known.
_MAX_UNLEARNED = 0.15
_INDIFFERENT = 0.2
_FAIR = 0.2
#: Modules are good that cost less than this share of what a cut at random costs.
GOOD = 0.1
# Losses as small are 0: of a network that has learned everything, whatever it is cut into.
_NO_LOSS = 1e-12
_MEANINGS = {
    "good": "The modules are good: cut into them, the network keeps what it has learned",
    "fair": "The modules are fair: cut into them, the network keeps most of what it has learned",
    "poor": "The modules are poor: cut into them, the network loses much of what it has learned",
    "indifferent": "The modules make little difference: cut at random, the network does nearly as"
    " well",
    "unlearned": "Nothing can be said of the modules: the network has not learned all of its task",
}

# Said of what the network computes, where that tells more than weights that are not a module's yet.
_OF_FUNCTIONS = {
    "good": "The modules are good: what the network has learned is a sum of what they can say, each"
    " by its own inputs, once they are trained on",
    "fair": "The modules are fair: most of what the network has learned is a sum of what they can"
    " say, each by its own inputs, once they are trained on",
    "poor": "The modules are poor: what the network has learned is no sum of what they can say,"
    " each by its own inputs",
}


def share_lost(cut: float, uncut: float, at_random: float) -> float:
    """The loss that a cut costs, as a share of what one at random costs; 1 where it costs more."""
    costs = max(cut - uncut, 0.0)
    return costs / max(at_random - uncut, costs, _NO_LOSS)


def is_indifferent(at_random: float, uncut: float, chance: float) -> bool:
    """Whether a cut at random costs next to nothing, so that no other can tell anything."""
    return at_random - uncut < _INDIFFERENT * (chance - uncut)


class Losses(NamedTuple):
    """What a probe says of modules.

    Attributes:
        probed: The loss of the network cut into them, and trained for a while.
        separated: That of the network as it is, if they saw none of each other's inputs; ``None``
            where that is not asked, or means nothing.
    """

    probed: float
    separated: float | None

    @property
    def worth(self) -> float:
        """The lower one."""
        return self.probed if self.separated is None else min(self.probed, self.separated)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What modules are worth: losses of a network that was cut into them and trained for a while.

    The normalized cut is no evidence: wrong modules that a penalty enforced have a lower one than
    right modules that nobody enforced. What counts is what a network has left once it is cut.

    Args:
        labels (LongTensor): The modules, ``[N]``, −1 for units that are not partitioned.
        uncut (float): The loss of the network as it is.
        cut (float): Its loss right after it is cut into these modules.
        probed (float): The same when it was trained for a while since, if that is lower.
        random (tuple of float): Likewise for modules of the same sizes, each drawn at random.
        chance (float): The loss of the best outputs that are the same for all samples.
        normalized_cut (float): Of these modules.
        null_normalized_cut (float): Of modules found in the same way where the weights that enter
            a unit have changed places.
        num_dead (int): Number of units that the cut puts to rest.
        separated (float, optional): Where modules have inputs of their own and share the outputs:
            the loss of the network as it is, not cut and not trained, if they saw none of each
            other's inputs. It counts where it is lower than ``probed``, of random modules, too.
            (default: ``None``, if that is not so, or a module has no inputs that say anything)
    """

    labels: Tensor
    uncut: float
    cut: float
    probed: float
    random: tuple[float, ...]
    chance: float
    normalized_cut: float
    null_normalized_cut: float
    num_dead: int
    separated: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "random", tuple(self.random))  # A list, where it was loaded.

    @property
    def lost(self) -> float:
        """The loss that the cut costs, as a share of what a cut at random costs.

        From 0, if it costs nothing, to 1, if it costs as much as one at random, or more.
        """
        return share_lost(self._worth, self.uncut, mean(self.random))

    @property
    def _worth(self) -> float:
        return Losses(self.probed, self.separated).worth

    @property
    def unlearned(self) -> float:
        """The loss of the uncut network, as a share of that of chance; 0 is best."""
        return self.uncut / max(self.chance, _NO_LOSS)

    @property
    def word(self) -> str:
        """One of five.

        ``"unlearned"``, if the network has not learned all of its task, so that nothing can be
        said; ``"indifferent"``, if it learns to do without what any modules of these sizes take
        away; or, by what is lost, ``"good"``, ``"fair"`` or ``"poor"``.
        """
        if self.unlearned > _MAX_UNLEARNED:
            return "unlearned"
        if is_indifferent(mean(self.random), self.uncut, self.chance):
            return "indifferent"
        return "good" if self.lost < GOOD else "fair" if self.lost < _FAIR else "poor"

    def __str__(self) -> str:
        spread = f" +- {stdev(self.random):.2g}" if len(self.random) > 1 else ""
        is_function = self._worth < self.probed
        meaning = (_OF_FUNCTIONS if is_function else _MEANINGS).get(self.word, _MEANINGS[self.word])
        separated = ""
        if self.separated is not None:
            separated = f" {self.separated:.4g} if modules saw none of each other's inputs,"
        dead = f" {self.num_dead} units take no part once it is cut." if self.num_dead else ""
        return (
            f"{meaning} (loss {self.uncut:.4g} uncut, {self.cut:.4g} cut,"
            f" {self.probed:.4g} cut and trained for a while,{separated}"
            f" {mean(self.random):.4g}{spread} if cut at random, {self.chance:.4g} by chance;"
            f" normalized cut {self.normalized_cut:.2g}, {self.null_normalized_cut:.2g} among"
            f" shuffled weights).{dead}"
        )

    def figures(self) -> dict[str, Any]:
        """All but the labels, by name."""
        return {name: value for name, value in self.state_dict().items() if name != "labels"}

    def state_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {**vars(self), "random": list(self.random)}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Verdict:
        """The verdict of which :meth:`state_dict` returned ``state``.

        Raises:
            TypeError: If ``state`` is no dict.
            ValueError: If it is that of something else.
        """
        names = [field.name for field in fields(cls)]
        check_state(cls.__name__, state, names)
        return cls(**{name: state[name] for name in names})
