"""Everything public, every argument, every kind of bad value: one line that names the argument."""

import shutil

import pytest
from _bad_values import KINDS
from _public_calls import calls

CALLS = {call.name: call for call in calls()}
ALIASES = {"grid": ("axis", "axes"), "axes": ("axis",), "data": ("y must",)}
"""What else names an argument: an axis of the grid, a column of the data."""


def _outcome(call, argument, value, others=()):
    """What is wrong with how a call refuses a value, or None; it may name one of `others` in its place."""
    try:
        call(**{argument: value})
    except (ValueError, TypeError) as error:
        told = str(error)
        named = any(name in told for name in (argument, *ALIASES.get(argument, ()), *others))
        return None if named and "\n" not in told else f"{type(error).__name__}: {told[:200]}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "accepted"


@pytest.mark.filterwarnings("ignore:A JAX array is being set as static")
@pytest.mark.parametrize("name", CALLS)
def test_bad_values_are_refused_in_one_line_that_names_the_argument(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = CALLS[name]
    wrong = {(argument, what): _outcome(call, argument, value) for argument, what, value in call.bad()}
    assert not {case: told for case, told in wrong.items() if told is not None}
    assert not list(tmp_path.iterdir())


def test_there_are_thousands_of_them():
    assert sum(1 for call in CALLS.values() for _ in call.bad()) > 8000
    assert {kind for call in CALLS.values() for kind in call.kinds.values()} <= set(KINDS)


MISSING = {"kernels.load", "open_store"}
"""Calls that need a file which is not there."""
IN_THEIR_OWN_WORDS = {("adversarial_margin", "x")} | {
    (name, argument) for name in ("train", "gradient_flow") for argument in ("params", "objective", "observe")
}
"""What functions that were given refuse themselves: inputs and parameters that a network does not take, and calls."""
EVERYTHING = {what: value for kind in KINDS.values() for what, value in kind.items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("kept_where_it_was")
@pytest.mark.parametrize("name", CALLS)
def test_what_is_allowed_works_and_any_value_at_all_is_taken_or_refused_so(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = CALLS[name]
    if name not in MISSING:
        call()
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    monkeypatch.chdir(tmp_path)  # not into the folder that is gone
    wrong = {}
    for argument in call.kinds:
        for what, value in EVERYTHING.items():
            told = _outcome(call, argument, value, call.kinds)
            if told not in (None, "accepted") and (name, argument) not in IN_THEIR_OWN_WORDS:
                wrong[argument, what] = told
            for left in tmp_path.iterdir():  # by what was accepted
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    assert not wrong
