"""Theorem 2's check holds, knows its own rounding, and can fail."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy
from gsdyn.starvation import sign_law
from gsdyn.verification import (
    Claim,
    Finding,
    Report,
    _differences,
    check_theorem2,
    small_overlap_limits,
)

theorem2 = sys.modules["gsdyn.verification.theorem2"]
BLOCK = 1024
PROBLEMS = 100

# s, delta, lam, first order, d z_2*/d(s_1^2): from an arbitrary-precision library, 25 digits
REFERENCE = [
    (
        [0.0768618101706301, 0.9950240716118588],
        0.5954833740471239,
        1.4863943650425498e-05,
        False,
        "28.43816311111438190888048",
    ),
    (
        [0.08785738115933034, 19.258970542048495],
        0.06971637039265487,
        6.0068072517180874e-05,
        False,
        "93.67759976938312616168483",
    ),
    (
        [22.130201071464363, 2.320869805458258],
        0.36530319249249305,
        0.011704156784962436,
        False,
        "-0.0008056113237870266430286364",
    ),
    (
        [3.0798449810562687, 0.21180023970436712],
        0.13658839213828577,
        0.5348568558708079,
        False,
        "-0.0001986279801805894912963821",
    ),
    (
        [0.0768618101706301, 0.9950240716118588],
        0.5954833740471239,
        1.4863943650425498e-05,
        True,
        "28.44238262738463566638811",
    ),
    (
        [0.08785738115933034, 19.258970542048495],
        0.06971637039265487,
        6.0068072517180874e-05,
        True,
        "93.70327145234682041472371",
    ),
    (
        [22.130201071464363, 2.320869805458258],
        0.36530319249249305,
        0.011704156784962436,
        True,
        "-0.0008056115335857194687296236",
    ),
]


@pytest.fixture(autouse=True)
def one_size_of_block(monkeypatch):
    """One compilation serves every test."""
    monkeypatch.setattr(theorem2, "BLOCK", BLOCK)
    monkeypatch.setattr(theorem2, "PROBLEMS", PROBLEMS)


def cells(*rows):
    return theorem2.Cells(*(np.array(column, float) for column in zip(*rows, strict=True)))


def judge(problem):
    return theorem2.judge(CrossEntropy(), problem)


def findings_of(problem, law=sign_law):
    judged = judge(problem)
    claimed = np.asarray(law(*problem[:3]))
    return theorem2._findings("Eq. 9", problem, judged, claimed)


@pytest.mark.parametrize(("s", "delta", "lam", "first_order", "expected"), REFERENCE)
def test_differences_meet_the_reference(s, delta, lam, first_order, expected):
    value = _differences.starvation(*s, delta, lam, first_order=first_order)
    assert abs(value / type(value)(expected) - 1) < type(value)("1e-20")


@pytest.mark.parametrize(
    ("s1", "s2", "delta", "lam"),
    [(28.0, 0.03, 1.5e-3, 1.3e-5), (1e-2, 1e-2, 0.5, 1e2), (100.0, 1e-2, 0.999, 1e-5)],
)
def test_differences_reach_extremes_and_equal_strengths(s1, s2, delta, lam):
    for first_order in (False, True):
        assert _differences.starvation(s1, s2, delta, lam, first_order=first_order).is_finite()
        assert _differences.sign(s1, s2, delta, lam, first_order=first_order) == int(sign_law(s1, s2, delta))


@pytest.mark.parametrize("loss", [CrossEntropy(), pytest.param(FirstOrderCrossEntropy(), marks=pytest.mark.slow)])
def test_margin_bounds_the_rounding_error(loss):
    drawn = theorem2.sample(BLOCK, 3)
    near = theorem2.sample(BLOCK, 4)
    # close to where the sign turns, down to a few units in the last place
    close = 10 ** np.linspace(-15, -1, BLOCK)
    near = near._replace(s2=near.s1 * (1 + close), delta=np.minimum(near.delta, 0.6))
    for problem in (drawn, near):
        judged = theorem2.judge(loss, problem)
        for i in range(0, BLOCK, 17):
            place = (float(values[i]) for values in problem)
            exact = float(_differences.starvation(*place, first_order=not isinstance(loss, CrossEntropy)))
            error, margin = abs(float(judged.starvation[i]) - exact), float(judged.margin[i])
            assert error * margin <= abs(exact) * (1 + 1e-11 * margin)


def test_theorem2_holds():
    findings = check_theorem2(20_000, seed=11)
    assert [(f.claim.id, f.case) for f in findings] == [
        ("P21-Thm2", "Eq. 9"),
        ("P21-Thm2-exact", "Eq. 9"),
        ("P21-Thm2", "Eq. 10"),
        ("P21-Thm2-exact", "Eq. 10"),
    ]
    assert all(f.holds for f in findings)
    assert [f.samples for f in findings][1::2] == [20_000, 20_000]
    assert 5_000 < findings[0].samples < 7_000
    assert min(f.worst for f in findings) > 1


def test_random_cells_reach_the_corners():
    drawn = theorem2.sample(20_000, 0)
    for values, (low, high) in (
        (drawn.s1, (1e-2, 1e2)),
        (drawn.s2, (1e-2, 1e2)),
        (drawn.lam, (1e-5, 1e2)),
    ):
        assert low <= values.min() < 1.01 * low
        assert high / 1.01 < values.max() <= high
    assert 1e-3 <= drawn.delta.min() < 1.01e-3
    assert 0.9989 < drawn.delta.max() <= 0.999
    assert not np.array_equal(drawn.s1, theorem2.sample(20_000, 1).s1)


def test_fewer_cells_than_a_block():
    findings = check_theorem2(7, seed=2)
    assert findings[-1].samples == 7
    assert all(f.holds for f in findings)


@pytest.mark.parametrize(
    ("law", "wrong"),
    [
        pytest.param(lambda s1, s2, delta: -jnp.sign(s1 - s2), lambda c: c.delta > 2**-0.5, id="no turn"),
        pytest.param(
            lambda s1, s2, delta: -jnp.sign((1 - 2.1 * delta**2) * (s1 - s2)),
            lambda c: (c.delta > 2.1**-0.5) & (c.delta < 2**-0.5),
            id="turn too early",
        ),
        pytest.param(lambda s1, s2, delta: -sign_law(s1, s2, delta), lambda c: c.delta > 0, id="reversed"),
    ],
)
def test_a_wrong_law_is_found_out(law, wrong):
    findings = check_theorem2(BLOCK, seed=5, law=law)
    expected = int(np.sum(wrong(theorem2.sample(BLOCK, 5))))
    assert expected > 0
    assert [f.violations for f in findings[1::2]] == [expected, expected]
    assert not findings[1].holds
    first = findings[1].details["first violation"]
    assert first["claimed sign"] == -np.sign(first["derivative"])


def test_signs_that_float64_cannot_tell_are_settled():
    tiny = 2.0**-52
    undecidable = cells((1.0, 1.0 - tiny, 0.3, 50.0), (1.0, 1.0 + tiny, 0.3, 50.0), (1.0, 1.0, 0.3, 1.0))
    assert np.all(judge(undecidable).margin <= 1)
    exact = findings_of(undecidable)[-1]
    assert exact.details["settled in 80 digits"] == 3
    assert exact.holds
    reversed_law = findings_of(undecidable, lambda *problem: -sign_law(*problem))[-1]
    assert reversed_law.violations == 2  # with equal strengths nothing starves, in either law


def test_an_optimum_not_reached_is_a_violation():
    problem = cells((4.0, 2.0, 0.3, 0.1), (3.0, 2.0, 0.3, 0.1))
    judged = judge(problem)._replace(converged=np.array([True, False]))
    finding = theorem2._findings("Eq. 9", problem, judged, np.asarray(sign_law(*problem[:3])))[-1]
    assert (finding.violations, finding.details["not converged"]) == (1, 1)


def test_region_without_cells_is_left_out():
    assert [f.claim.id for f in findings_of(cells((2.0, 4.0, 0.3, 0.1)))] == ["P21-Thm2-exact"]


@pytest.mark.parametrize("count", [0, -3])
def test_bad_counts(count):
    with pytest.raises(ValueError, match=f"cells must be at least 1, got {count}"):
        check_theorem2(count)


def test_single_precision_is_refused():
    with jax.enable_x64(False), pytest.raises(ValueError, match="precision must be 64 bits"):
        check_theorem2(10)


def test_small_overlap_limits():
    limits = small_overlap_limits(seed=1)
    assert limits["problems"] + limits["left out"] == PROBLEMS
    assert 0 < limits["smallest"] < limits["median"] < limits["largest"] <= 1
    assert limits["share lost at delta = 0.01"] <= limits["share lost at delta = 0.1"] <= 1


def test_small_overlap_loss_meets_differences():
    deltas = np.geomspace(1e-3, 0.5, 15)
    problem = cells((4.0, 2.0, 0.0, 0.1), (3.0, 5.0, 0.0, 1.0))
    lost, _ = theorem2._lost(problem, deltas)
    for i in range(2):
        s1, s2, _, lam = (float(values[i]) for values in problem)
        # the slope at delta = 0 is what the formula claims to be
        slope = float(_differences.starvation(s1, s2, 1e-12, lam, first_order=False)) / 1e-12
        for j, delta in enumerate(map(float, deltas)):
            exact = float(_differences.starvation(s1, s2, delta, lam, first_order=False))
            assert bool(lost[i, j]) == (abs(slope * delta / exact - 1) > 0.01)


def finding(violations=0, samples=10, tolerance=None):
    claim = Claim("P21-Thm2", "the weaker feature starves", "random cells", "margin")
    return Finding(claim, "Eq. 9", samples, violations, 0.5, tolerance, {"missed": 3, "lost": 0})


def test_report_holds_only_if_everything_was_checked_and_holds():
    assert Report("t", [finding(), finding(tolerance=1.0)]).holds
    assert not Report("t", [finding(), finding(violations=1)]).holds
    assert not Report("t", [finding(samples=0)]).holds
    assert not Report("t", []).holds


def test_report_files(tmp_path):
    report = Report("Title", [finding(violations=2)], {"limits": {"median": 0.25}}, {"cells": 10})
    paths = report.save(tmp_path / "deep" / "thm2")
    assert [path.name for path in paths] == ["thm2.json", "thm2.md"]
    content = json.loads(paths[0].read_text())
    assert content["holds"] is False
    assert content["findings"][0]["violations"] == 2
    assert content["findings"][0]["claim"]["id"] == "P21-Thm2"
    assert content["measurements"] == {"limits": {"median": 0.25}}
    assert json.loads(content["provenance"]["settings"]) == {"cells": 10}
    text = paths[1].read_text()
    assert "| P21-Thm2 | Eq. 9 | 10 | 2 | 0.5 margin | - | VIOLATED |" in text
    assert "limits: median 0.25." in text
    assert "P21-Thm2, Eq. 9: missed 3." in text
