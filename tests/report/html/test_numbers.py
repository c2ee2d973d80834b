import pytest

from pyg_modules.report.html import numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.count(25994), "25,994"),
        (numbers.percent(0.96944), "96.94\u202f%"),
        (numbers.percent(0.5273, 0), "53\u202f%"),
        (numbers.points(0.00278), "+0.28 points"),
        (numbers.points(-0.0111), "−1.11 points"),
        (numbers.points(-1e-9), "+0.00 points"),
        (numbers.small(0.0), "0"),
        (numbers.small(0.0123), "0.012"),
        (numbers.small(1234.5), "1,234"),
        (numbers.small(99.49), "99"),
        (numbers.small(99.6), "100"),
        (numbers.small(100.0), "100"),
        (numbers.small(1.23e-7), "1.2\u00a0×\u00a010⁻⁷"),
        (numbers.small(56789.0), "5.7\u00a0×\u00a010⁴"),
        (numbers.duration(0.123), "0.1 s"),
        (numbers.duration(59.7), "1 min 0 s"),
        (numbers.duration(102), "1 min 42 s"),
        (numbers.duration(42.2), "42 s"),
        (numbers.duration(7321), "2 h 2 min"),
    ],
)
def test_numbers_are_written_for_people(text, expected):
    assert text == expected
