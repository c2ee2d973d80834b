from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Chosen on planted problems, where the right modules are known.
_MAX_UNLEARNED = 0.3
_INDIFFERENT = 0.2
_GOOD, _FAIR = 0.1, 0.2
# Losses as small are 0: of a network that has learned everything, whatever it is cut into.
_NO_LOSS = 1e-12
_MEANINGS = {
    "good": "The modules are good: cut into them, the network keeps what it has learned",
    "fair": "The modules are fair: cut into them, the network keeps most of what it has learned",
    "poor": "The modules are poor: cut into them, the network loses much of what it has learned",
    "indifferent": "The modules make little difference: cut at random, the network does nearly as"
    " well",
    "unlearned": "Nothing can be said of the modules: the network has not learned its task",
}


@dataclass(frozen=True)
class Verdict:
    """What modules are worth: losses of a network that was cut into them and trained for a while.

    The normalized cut is no evidence: wrong modules that a penalty enforced have a lower one than
    right modules that nobody enforced. What counts is what a network has left once it is cut.

    Args:
        labels (LongTensor): The modules, ``[N]``, −1 for units that are not partitioned.
        uncut (float): The loss of the network as it is.
        probed (float): Its loss when it is cut into these modules and trained for a while.
        random (float): Likewise for modules of the same sizes, drawn at random.
        chance (float): The loss of the best outputs that are the same for all samples.
    """

    labels: Tensor
    uncut: float
    probed: float
    random: float
    chance: float

    @property
    def lost(self) -> float:
        """The loss that the cut costs, as a share of what a cut at random costs; 0 is best."""
        return (self.probed - self.uncut) / max(self.random - self.uncut, _NO_LOSS)

    @property
    def unlearned(self) -> float:
        """The loss of the uncut network, as a share of that of chance; 0 is best."""
        return self.uncut / max(self.chance, _NO_LOSS)

    @property
    def word(self) -> str:
        """One of five.

        ``"unlearned"``, if the network has not learned its task, so that nothing can be said;
        ``"indifferent"``, if it learns to do without what any modules of these sizes take away; or,
        by what is lost, ``"good"``, ``"fair"`` or ``"poor"``.
        """
        if self.unlearned > _MAX_UNLEARNED:
            return "unlearned"
        if self.random - self.uncut < _INDIFFERENT * (self.chance - self.uncut):
            return "indifferent"
        return "good" if self.lost < _GOOD else "fair" if self.lost < _FAIR else "poor"

    def __str__(self) -> str:
        return (
            f"{_MEANINGS[self.word]} (loss {self.uncut:.4g} uncut, {self.probed:.4g} cut and"
            f" trained for a while, {self.random:.4g} if cut at random, {self.chance:.4g} by"
            f" chance)."
        )

    def losses(self) -> dict[str, float]:
        """The four losses by name."""
        return {name: loss for name, loss in vars(self).items() if name != "labels"}

    def state_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return dict(vars(self))


def shuffled(labels: Tensor, seed: int) -> Tensor:
    """Modules of the same sizes at random: ``labels`` in another order, −1 where it is."""
    generator = torch.Generator("cpu").manual_seed(seed)
    members = (labels >= 0).nonzero().flatten()
    order = torch.randperm(len(members), generator=generator, device="cpu").to(labels.device)
    mixed = labels.clone()
    mixed[members] = labels[members[order]]
    return mixed
