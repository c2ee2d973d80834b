import numba
import pytest

from pyg_modules import _numba


def test_functions_are_compiled_where_no_folder_can_be_written_to(monkeypatch):
    asked, compiler = [], numba.njit

    def without_a_place(*arguments, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return compiler(*arguments, **options)

    monkeypatch.setattr(numba, "njit", without_a_place)

    @_numba.njit(nogil=True)
    def twice(number):
        return 2 * number

    assert asked == [True, False]
    assert twice(3) == 6
    assert twice.signatures


@pytest.mark.parametrize("is_disabled", [0, 1])
def test_a_numba_that_compiles_nothing_is_as_none(monkeypatch, is_disabled):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", is_disabled)
    assert _numba.is_usable() is not bool(is_disabled)
