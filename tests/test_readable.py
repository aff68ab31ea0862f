"""What objects look like: values, convergence, bounds and the problem; shapes inside `jit`; never an error."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn._readable import shown
from gsdyn.flows import Steps

TWO = jnp.asarray([1.5, -2.0])


def fixed_point(several=()):
    def many(x):
        return jnp.broadcast_to(jnp.asarray(x), (*several, *jnp.shape(x)))

    numbers = [many(x) for x in (TWO / 10, TWO, TWO, 1e-20, 2e-15, 0.25)]
    return gs.FixedPoint(*numbers, many(6), many(True), gs.CrossEntropy(), gs.WeightDecay(0.01))


def trajectory(result=diffrax.RESULTS.successful):
    ts = jnp.asarray([0.0, 0.5, 3.0])
    over = jnp.stack([0 * TWO, TWO, 2 * TWO])
    steps = Steps(jnp.asarray(29), jnp.asarray(1))
    return gs.Trajectory(ts, over, over, over, result, steps, None, gs.FeatureBasis.rotation(4.0, 2.0, 0.1), None)


def kernel_run():
    ts = jnp.asarray([0.0, 3.0])
    return gs.KernelRun(ts, jnp.ones((2, 40)), jnp.ones((2, 40)), diffrax.RESULTS.successful, Steps(7, 0))


def test_a_fixed_point_shows_problem_convergence_values_and_bounds():
    text = repr(fixed_point())
    first, *rest = text.splitlines()
    assert first == "FixedPoint of CrossEntropy() under WeightDecay(lam=0.01): converged, Newton steps 6"
    assert [line.split() for line in rest] == [
        ["z", "[1.5,", "-2]"],
        ["margins", "[1.5,", "-2]"],
        ["alpha", "[0.15,", "-0.2]"],
        ["objective", "0.25"],
        ["primal", "-", "dual", "<=", "1e-20"],
        ["|alpha", "-", "alpha*|", "<=", "2e-15"],
    ]


def test_many_fixed_points_say_how_many_converged_and_the_largest_bounds():
    fp = fixed_point((3,))
    fp = eqx.tree_at(
        lambda f: (f.converged, f.gap), fp, (jnp.asarray([True, False, True]), jnp.asarray([1.0, 3.0, 2.0]))
    )
    text = repr(fp)
    assert "2 of 3 converged" in text
    assert "<= 3" in text
    assert "shape (3, 2), -2 to 1.5" in text


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (gs.CrossEntropy(), "CrossEntropy()"),
        (gs.Softmax([0, 2, 1], 3), "Softmax(labels=[0, 2, 1], classes=3)"),
        (gs.WeightDecay(1e-12), "WeightDecay(lam=1e-12)"),
        (gs.Mixed(0.1, 2), "Mixed(lam1=0.1, lam2=2)"),
        (gs.Unregularised(), "Unregularised()"),
        (gs.SpectralDecoupling(0.5), "SpectralDecoupling(lam=0.5)"),
        (gs.SpectralDecoupling([1.0, 2.0], 0.25), "SpectralDecoupling(lam=[1, 2], gamma=0.25)"),
        (gs.SpectralDecoupling(np.arange(1.0, 9.0)), "SpectralDecoupling(lam=<shape (8,), 1 to 8>)"),
        (gs.Phase(jnp.inf, gs.WeightDecay(2.0)), "Phase(duration=inf, penalty=WeightDecay(lam=2))"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_losses_and_penalties_look_like_the_call_that_makes_them(made, text):
    assert repr(made) == text
    assert made._repr_html_() == f"<code>{text.replace('<', '&lt;').replace('>', '&gt;')}</code>"


def test_features_show_their_strengths():
    basis = gs.FeatureBasis(np.eye(40)[:, :9], np.linspace(9.0, 1.0, 9))
    assert repr(basis) == "FeatureBasis of 9 features in 40 examples\n  strengths s  shape (9,), 1 to 9"


def test_flows_over_time_show_what_became_of_them_and_their_last_values():
    text = repr(trajectory())
    assert text.startswith("Trajectory over 3 times from 0 to 3: every time reached\n")
    assert "29 accepted, 1 rejected" in text
    assert "[3, -4]" in text
    assert "not every time reached" in repr(trajectory(diffrax.RESULTS.max_steps_reached))
    assert "KernelRun over 2 times from 0 to 3: every time reached" in repr(kernel_run())


def test_notebooks_get_tables_whose_words_are_no_html():
    text = fixed_point()._repr_html_()
    assert text.count("<tr>") == text.count("</tr>") == 6
    assert "primal - dual" in text
    assert "&lt;= 1e-20" in text
    assert "<= " not in text


def every_kind():
    return [fixed_point(), trajectory(), kernel_run(), gs.FeatureBasis.rotation(4.0, 2.0, 0.1), gs.Mixed(0.1, 2.0)]


def test_inside_jit_shapes_stand_for_values():
    seen = []

    @jax.jit
    def traced(objects):
        seen.extend((repr(x), x._repr_html_()) for x in objects)
        return objects

    back = jax.tree.map(lambda x: x, traced(every_kind()))
    texts = [text for text, _ in seen]
    assert "z                 float64[2]" in texts[0]
    assert "WeightDecay(lam=float64[])" in texts[0]
    assert "float64[3, 2]" in texts[1]
    assert "float64[2, 40]" in texts[2]
    assert "strengths s  float64[2]" in texts[3]
    assert texts[4] == "Mixed(lam1=float64[], lam2=float64[])"
    assert repr(back[0]) == repr(fixed_point())  # and what comes out is whole again


@pytest.mark.parametrize(
    "stand_in",
    [None, object(), 3, True, "word", jax.ShapeDtypeStruct((2, 3), jnp.float32), np.zeros(0), np.full(9, np.nan)],
    ids=["None", "object", "int", "bool", "word", "shape", "empty", "nan"],
)
def test_whatever_stands_in_the_place_of_arrays_is_no_error(stand_in):
    for x in every_kind():
        other = jax.tree.map(lambda _: stand_in, x)
        assert type(x).__name__ in repr(other)
        assert type(x).__name__ in other._repr_html_()


def test_what_is_half_made_is_no_error():
    for kind in (gs.FixedPoint, gs.KernelFixedPoint, gs.Trajectory, gs.KernelRun, gs.FeatureBasis, gs.WeightDecay):
        assert repr(object.__new__(kind)).startswith(kind.__name__)


def test_arrays_that_were_given_away_are_known_by_their_shape():
    x = jnp.arange(3.0)
    x.delete()
    assert shown(x) == "float64[3]"


def test_readable_objects_are_trees_as_before():
    fp = fixed_point()
    leaves, kind = jax.tree.flatten(fp)
    assert len(leaves) == 9  # eight arrays and lam
    assert repr(jax.tree.unflatten(kind, leaves)) == repr(fp)
    assert hash(gs.CrossEntropy()) == hash(gs.CrossEntropy())
    assert gs.CrossEntropy() == gs.CrossEntropy()
