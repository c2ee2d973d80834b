"""Tables of Markdown, and pages that hold them between marks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_BEGIN, _END = "<!-- table: {} -->", "<!-- end of table -->"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Rows of cells as Markdown; the first column is to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def filled(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """``text`` with what stands between the marks of every table replaced by the table."""
    for name, make_table in tables.items():
        begin = _BEGIN.format(name)
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(_END), re.DOTALL)
        content = f"{begin}\n{make_table()}\n{_END}"
        text, count = pattern.subn(content.replace("\\", r"\\"), text)
        if count != 1:
            raise ValueError(f"Expected '{begin} ... {_END}' once in the text (got {count}).")
    return text
