from __future__ import annotations

import lightning as L

from pyg_modules._brief import brief


class NamedCallback(L.Callback):
    """A callback of which a training may have several.

    Args:
        name (str, optional): What its state is called in checkpoints.

    Raises:
        TypeError: If ``name`` is no text.
    """

    def __init__(self, name: str | None) -> None:
        if not isinstance(name, str | None):
            raise TypeError(
                f"Expected a name (got {brief(name)}). Give a text that no other callback of the"
                f" training has, such as name='encoder', or leave it out."
            )
        self._name = name

    @property
    def state_key(self) -> str:
        """What its state is found by in checkpoints; without a name, the class."""
        return (
            super().state_key if self._name is None else self._generate_state_key(name=self._name)
        )
