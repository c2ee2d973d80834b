"""Colours of all figures, told apart by colour-blind readers too."""

from __future__ import annotations

from pyg_modules.partition.labels import SHARED

#: Colours of categories: those of Okabe and Ito (https://jfly.uni-koeln.de/color/) without
#: vermillion and black, which mean signs here, and six more that stay apart from them for all kinds
#: of colour blindness.
CATEGORIES = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#009E73",  # bluish green
    "#CC79A7",  # reddish purple
    "#56B4E9",  # sky blue
    "#F0E442",  # yellow
    "#661100",  # dark red
    "#332288",  # indigo
    "#B2DF8A",  # light green
    "#004D4D",  # dark teal
    "#FFB6C1",  # pink
    "#8B4513",  # brown
)
#: Edges by the sign of their weight: Okabe and Ito's black and vermillion.
POSITIVE, NEGATIVE = "#000000", "#D55E00"
#: What belongs to no module: inputs, outputs, and hidden units that all modules share.
INPUT, OUTPUT, SHARED_UNIT = "#BBBBBB", "#555555", "#888888"
#: Lines that explain: borders, limits, sums over units.
GUIDE = "#888888"
#: Map of values to colours: https://doi.org/10.1371/journal.pone.0199239
SEQUENTIAL = "cividis"


def module_color(module: int) -> str:
    """The colour of a module; after the twelfth they come again, so write the number too.

    Args:
        module (int): Its number, from 0, or −1 for units that all modules share.
    """
    return SHARED_UNIT if module == SHARED else CATEGORIES[module % len(CATEGORIES)]
