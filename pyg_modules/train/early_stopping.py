from __future__ import annotations

from copy import deepcopy
from math import inf

from torch import nn

from pyg_modules._checks import as_int, check_bool


class EarlyStopping:
    """Ends a training that no longer improves, as Keras and Lightning do.

    An epoch is better if its loss is less than that of all before.

    Args:
        patience (int, optional): Number of epochs without a better one after which the training
            ends. (default: it does not end)
        restore_best_weights (bool): Whether to keep the weights of the best epoch.

    Raises:
        TypeError: If ``patience`` is not an integer, or ``restore_best_weights`` no bool.
        ValueError: If ``patience`` is negative.
    """

    def __init__(self, patience: int | None, restore_best_weights: bool) -> None:
        self._patience = inf if patience is None else as_int("patience", patience, smallest=0)
        check_bool("restore_best_weights", restore_best_weights)
        self._keeps = restore_best_weights
        self._least = inf
        self._waited = 0
        self._best: dict[str, object] | None = None

    def check_possible(self, *, is_validated: bool, has_last_epoch: bool) -> None:
        """Raise a ``ValueError`` if there is something to do but no loss to go by."""
        if self._patience == inf and not self._keeps:
            return
        if not is_validated:
            raise ValueError(
                "Expected validation_data, whose loss patience and restore_best_weights go by (got"
                " none). Give it, e.g. validation_data=(x, y)."
            )
        if has_last_epoch:
            raise ValueError(
                "Expected no schedule with patience or restore_best_weights that has epochs (got"
                " one), for its last epoch is the one that counts. Cut when it is over, and"
                " train on with them."
            )

    def is_over(self, loss: float, model: nn.Module) -> bool:
        """Whether the training ends with this epoch."""
        if loss < self._least:
            self._least, self._waited = loss, 0
            if self._keeps:
                self._best = deepcopy(model.state_dict())
            return False
        self._waited += 1
        return self._waited >= self._patience

    def restore(self, model: nn.Module) -> None:
        """Give ``model`` the weights of the best epoch, if they are kept."""
        if self._best is not None:
            model.load_state_dict(self._best)
