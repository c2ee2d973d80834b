"""Numbers as people read them."""

from __future__ import annotations

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NARROW_SPACE, _FIXED = "\u202f", "\u00a0"  # Spaces at which no line breaks.


def count(number: int) -> str:
    """A number of things, such as ``"25,994"``."""
    return f"{number:,}"


def percent(share: float, digits: int = 2) -> str:
    """A share of 1, such as ``"96.94 %"``."""
    return f"{share:.{digits}%}".replace("%", f"{NARROW_SPACE}%")


def score(value: float, *, is_regression: bool) -> str:
    """An accuracy, such as ``"96.94 %"``, or R², such as ``"0.431"``."""
    return f"{value:.3f}".replace("-", "−") if is_regression else percent(value)


def points(difference: float) -> str:
    """A difference of shares in percentage points, such as ``"+0.28 points"``."""
    # Not "-0.00".
    return f"{round(100 * difference, 2) + 0.0:+.2f} points".replace("-", "−")


def small(number: float) -> str:
    """A number of any size with two figures, such as ``"0.012"`` or ``"1.2 × 10⁻⁷"``."""
    if number == 0 or 1e-3 <= abs(number) < 1e4:
        # What is rounded to 100 would be written as 1e+02.
        return f"{number:.2g}" if abs(number) < 99.5 else f"{number:,.0f}"
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}{_FIXED}×{_FIXED}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def duration(seconds: float) -> str:
    """A duration, such as ``"1 min 42 s"``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
