"""Tables of one's own: scikit-learn's, with a text column, missing values and a constant column."""

import numpy
from sklearn.datasets import load_diabetes, load_wine

#: The end of what is said of rows that are scored.
EQUAL = (
    "equal rows that were trained on, in all that is used of them: their score may say little of"
    " new ones"
)


def own_table(name):
    """A data frame with the target ``grade``; 178 rows of ``"wine"``, 442 of ``"diabetes"``."""
    load = {"wine": load_wine, "diabetes": load_diabetes}[name]
    table = load(as_frame=True).frame.rename(columns={"target": "grade"})
    draw = numpy.random.default_rng(0)
    table["region"] = numpy.array(["north", "south", "east, west"])[
        draw.integers(3, size=len(table))
    ]
    table["unit"] = "mg"
    table["sample"] = [f"sample {number}" for number in range(len(table))]
    for column, number in ((table.columns[0], 7), ("region", 5)):
        table.loc[draw.integers(len(table), size=number), column] = None
    return table
