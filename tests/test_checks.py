"""Bad input: a `ValueError` of one line that names the argument, what it was and what is allowed, also when traced."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

import gsdyn as gs
from gsdyn import _checks

NAN, INF = float("nan"), float("inf")
EYE = np.eye(2)
BASIS = gs.FeatureBasis(EYE, [3.0, 2.0])
Basis, SD, Mixed, Softmax, forms = (
    gs.FeatureBasis,
    gs.SpectralDecoupling,
    gs.Mixed,
    gs.Softmax,
    gs.closed_forms,
)


def solve(loss=None, penalty=None, basis=BASIS, **options):
    loss = gs.CrossEntropy() if loss is None else loss
    return gs.fixed_point(basis, loss, gs.WeightDecay(1.0) if penalty is None else penalty, **options)


def starvation(basis):
    """The starvation matrix of a stored fixed point of two features beside another basis."""
    z = jnp.zeros(2)
    fp = gs.FixedPoint(z, z, z, z[0], z[0], z[0], z[0], z[0], gs.CrossEntropy(), gs.WeightDecay(1.0))
    return gs.starvation_matrix(basis, fp)


BAD = {
    "basis: U is a vector": (lambda: Basis([1.0, 0.0], [1.0]), "U must have 2 dimensions, got shape (2,)"),
    "basis: too many strengths": (lambda: Basis(EYE, [1.0, 2.0, 3.0]), "U and s must have shapes"),
    "basis: more features than examples": (lambda: Basis(np.ones((2, 3)), np.ones(3)), "U and s must have shapes"),
    "basis: empty": (lambda: Basis(np.ones((2, 0)), []), "U and s must have shapes"),
    "basis: not orthonormal": (lambda: Basis(2 * EYE, [1.0, 1.0]), "U must have orthonormal columns"),
    "basis: U has NaN": (lambda: Basis(NAN * EYE, [1.0, 1.0]), "U must be finite, got nan"),
    "basis: U is complex": (lambda: Basis(1j * EYE, [1.0, 1.0]), "U must be real"),
    "basis: U is text": (lambda: Basis("U", [1.0, 1.0]), "U must be finite, got 'U'"),
    "basis: negative strength": (lambda: Basis(EYE, [1.0, -1.0]), "s must be finite and >= 0, got -1.0"),
    "basis: s is a scalar": (lambda: Basis(EYE, 1.0), "s must have 1 dimensions, got shape ()"),
    "rotation: s1": (lambda: Basis.rotation(-1, 1, 0.1), "s1 must be finite and >= 0, got -1.0"),
    "rotation: s2": (lambda: Basis.rotation(1, INF, 0.1), "s2 must be finite and >= 0, got inf"),
    "rotation: delta 1": (lambda: Basis.rotation(1, 1, 1.0), "delta must be in [0, 1), got 1.0"),
    "rotation: delta -0.1": (lambda: Basis.rotation(1, 1, -0.1), "delta must be in [0, 1), got -0.1"),
    "rotation: delta NaN": (lambda: Basis.rotation(1, 1, NAN), "delta must be in [0, 1), got nan"),
    "rotation: vectors": (lambda: Basis.rotation(1, 1, [0.1, 0.2]), "delta must have 0 dimensions"),
    "kernel: not square": (lambda: Basis.from_kernel(np.ones((2, 3)), [1, 1]), "theta must be square"),
    "kernel: empty": (lambda: Basis.from_kernel(np.ones((0, 0)), []), "theta must be square and not empty"),
    "kernel: not symmetric": (lambda: Basis.from_kernel([[1.0, 2.0], [0.0, 1.0]], [1, 1]), "theta must be symmetric"),
    "kernel: indefinite": (
        lambda: Basis.from_kernel([[1.0, 2.0], [2.0, 1.0]], [1, 1]),
        "theta must be positive semi-definite, got an eigenvalue -1",
    ),
    "kernel: NaN": (lambda: Basis.from_kernel(NAN * EYE, [1, 1]), "theta must be finite, got nan"),
    "kernel: labels 0 and 1": (
        lambda: Basis.from_kernel(EYE, [1, 0]),
        "y must be a vector of -1 and +1, got 0.0: convert 0 and 1 by 2*y - 1",
    ),
    "kernel: labels true and false": (
        lambda: Basis.from_kernel(EYE, [True, False]),
        "y must be a vector of -1 and +1, got booleans: convert them by 2*y - 1",
    ),
    "kernel: tolerance": (
        lambda: Basis.from_kernel(EYE, tolerance="1"),
        "tolerance must be a number in [0, 1), got '1'",
    ),
    "product: no function": (
        lambda: Basis.from_product(EYE, None, 1, examples=20),
        "product must be a function of V, shape (n, b), got an array of shape (2, 2)",
    ),
    "product: shape": (
        lambda: Basis.from_product(lambda v: v[:3], None, 1, examples=20),
        "product(V) must have the shape of V, got (3, 1) for (20, 1)",
    ),
    "product: NaN": (lambda: Basis.from_product(lambda v: NAN * v, None, 1, examples=20), "product(V) must be finite"),
    "kernel: label NaN": (lambda: Basis.from_kernel(EYE, [1, NAN]), "y must be a vector of -1 and +1, got nan"),
    "kernel: labels are text": (lambda: Basis.from_kernel(EYE, "ab"), "y must be a vector of -1 and +1, got 'ab'"),
    "kernel: too many labels": (lambda: Basis.from_kernel(EYE, [1, 1, 1]), "y must have as many rows as theta"),
    "kernel: rank 0": (lambda: Basis.from_kernel(EYE, rank=0), "rank must be in 1..2, got 0"),
    "kernel: rank 3": (lambda: Basis.from_kernel(EYE, rank=3), "rank must be in 1..2, got 3"),
    "kernel: rank 1.5": (lambda: Basis.from_kernel(EYE, rank=1.5), "rank must be an integer in 1..2, got 1.5"),
    "ntrf: a vector": (lambda: Basis.from_ntrf([1.0, 2.0], [1, 1]), "phi must have 2 dimensions"),
    "ntrf: empty": (lambda: Basis.from_ntrf(np.ones((0, 3)), []), "phi must not be empty"),
    "ntrf: infinite": (lambda: Basis.from_ntrf(EYE + INF, [1, 1]), "phi must be finite, got inf"),
    "ntrf: labels": (lambda: Basis.from_ntrf(EYE, [1, 2]), "y must be a vector of -1 and +1, got 2.0"),
    "ntrf: too few labels": (lambda: Basis.from_ntrf(EYE, [1]), "y must have as many rows as phi"),
    "ntrf: rank": (lambda: Basis.from_ntrf(EYE, rank=3), "rank must be in 1..2, got 3"),
    "lam 0": (lambda: gs.WeightDecay(0.0), "lam must be finite and > 0, got 0.0"),
    "lam -1": (lambda: gs.WeightDecay(-1), "lam must be finite and > 0, got -1.0"),
    "lam NaN": (lambda: gs.WeightDecay(NAN), "lam must be finite and > 0, got nan"),
    "lam infinite": (lambda: gs.WeightDecay(INF), "lam must be finite and > 0, got inf"),
    "lam a vector": (lambda: gs.WeightDecay([1.0, 2.0]), "lam must have 0 dimensions, got shape (2,)"),
    "lam text": (lambda: gs.WeightDecay("1"), "lam must be finite and > 0, got '1'"),
    "SD: lam 0 in one example": (lambda: SD([1.0, 0.0]), "lam must be finite and > 0, got 0.0"),
    "SD: lam a matrix": (lambda: SD(1 + EYE), "lam must be a scalar or one per example, got shape (2, 2)"),
    "SD: gamma NaN": (lambda: SD(1.0, NAN), "gamma must be finite, got nan"),
    "SD: gamma a matrix": (lambda: SD(1.0, EYE), "gamma must be a scalar or one per example, got shape (2, 2)"),
    "SD: lam too long": (lambda: solve(penalty=SD([1.0] * 3)), "lam must have one entry per example (2), got 3"),
    "SD: gamma too long": (
        lambda: solve(penalty=SD(1.0, [1.0] * 3)),
        "gamma must have one entry per example (2), got 3",
    ),
    "by class: labels": (lambda: SD.by_class([1, 0], (1.0, 1.0), (0.0, 0.0)), "y must be a vector of -1 and +1"),
    "by class: lam": (lambda: SD.by_class([1, 1], (-1.0, 1.0), (0.0, 0.0)), "lam must be finite and > 0, got -1.0"),
    "by class: one lam": (lambda: SD.by_class([1, 1], (1.0,), (0.0, 0.0)), "lam must be a pair"),
    "by class: gamma": (lambda: SD.by_class([1, 1], (1.0, 1.0), (NAN, 0.0)), "gamma must be finite, got nan"),
    "by class: three gamma": (lambda: SD.by_class([1, 1], (1.0, 1.0), (0.0, 0.0, 0.0)), "gamma must be a pair"),
    "mixed: both 0": (lambda: Mixed(0.0, 0.0), "lam1 + lam2 must be > 0, got 0.0"),
    "mixed: lam1": (lambda: Mixed(-1.0, 1.0), "lam1 must be finite and >= 0, got -1.0"),
    "mixed: lam2": (lambda: Mixed(1.0, NAN), "lam2 must be finite and >= 0, got nan"),
    "mixed: vector": (lambda: Mixed([1.0, 2.0], 1.0), "lam1 must have 0 dimensions, got shape (2,)"),
    "softmax: one class": (lambda: Softmax([0, 0], 1), "classes must be at least 2, got 1"),
    "softmax: 2.5 classes": (lambda: Softmax([0, 1], 2.5), "classes must be an integer at least 2, got 2.5"),
    "softmax: label 3 of 3": (lambda: Softmax([0, 3], 3), "labels must be in 0..2, got 0..3"),
    "softmax: label -1": (lambda: Softmax([-1, 0], 3), "labels must be in 0..2, got -1..0"),
    "softmax: real labels": (lambda: Softmax([0.0, 1.0], 3), "labels must be a vector of integers"),
    "softmax: matrix of labels": (lambda: Softmax([[0, 1]], 3), "labels must be a vector of integers"),
    "softmax: too many labels": (
        lambda: solve(Softmax([0, 1, 1], 2)),
        "labels must have one entry per example (2), got 3",
    ),
    "softmax: a tilt": (lambda: solve(Softmax([0, 1], 2), SD([1.0, 2.0])), "penalty must be the same for all examples"),
    "no iterations": (lambda: solve(max_iterations=0), "max_iterations must be at least 1, got 0"),
    "half an iteration": (lambda: solve(max_iterations=1.5), "max_iterations must be an integer at least 1, got 1.5"),
    "U for a basis": (lambda: solve(basis=EYE), "basis must be a FeatureBasis"),
    "a loss class": (lambda: solve(gs.CrossEntropy), "loss must be a Loss, got the class CrossEntropy"),
    "lam for a penalty": (lambda: solve(penalty=0.1), "penalty must be a Penalty, got a value of type float"),
    "no fixed point": (lambda: gs.starvation_matrix(BASIS, 1.0), "fp must be a FixedPoint"),
    "another's fixed point": (lambda: starvation(Basis(np.eye(3), np.ones(3))), "fp must belong to basis"),
    "starves: a vector": (lambda: gs.starves(jnp.ones(3)), "matrix must have shape (k, k), got (3,)"),
    "starves: not square": (lambda: gs.starves(jnp.ones((2, 3))), "matrix must have shape (k, k), got (2, 3)"),
    "sign law: s1": (lambda: gs.sign_law(-1.0, 1.0, 0.1), "s1 must be finite and >= 0, got -1.0"),
    "sign law: s2": (lambda: gs.sign_law(1.0, NAN, 0.1), "s2 must be finite and >= 0, got nan"),
    "sign law: delta": (lambda: gs.sign_law(1.0, 1.0, [0.1, 1.5]), "delta must be in [0, 1), got 1.5"),
    "sign law: shapes": (
        lambda: gs.sign_law(np.ones(2), np.ones(3), 0.1),
        "s1, s2, delta must have shapes that broadcast",
    ),
    "equal strengths: s": (lambda: forms.equal_strengths(-1.0, 1.0), "s must be finite and >= 0, got -1.0"),
    "equal strengths: lam": (lambda: forms.equal_strengths(1.0, 0.0), "lam must be finite and > 0, got 0.0"),
    "equal strengths: many with U": (lambda: forms.equal_strengths([1.0, 2.0], 1.0, EYE), "s and lam must be scalars"),
    "equal strengths: U not square": (lambda: forms.equal_strengths(1.0, 1.0, EYE[:, :1]), "U must be square"),
    "equal strengths: U skew": (lambda: forms.equal_strengths(1.0, 1.0, 2 * EYE), "U must have orthonormal columns"),
    "equal strengths: U NaN": (lambda: forms.equal_strengths(1.0, 1.0, NAN * EYE), "U must be finite, got nan"),
    "permutation: s": (lambda: forms.permutation([1.0, -1.0], 1.0), "s must be finite and >= 0, got -1.0"),
    "permutation: lam": (lambda: forms.permutation(1.0, NAN), "lam must be finite and > 0, got nan"),
    "permutation: shapes": (
        lambda: forms.permutation(np.ones(2), np.ones(3)),
        "s, lam must have shapes that broadcast",
    ),
    "perturbed: no basis": (
        lambda: forms.perturbed(EYE, 1.0),
        "basis must be a FeatureBasis, got an array of shape (2, 2)",
    ),
    "perturbed: lam": (lambda: forms.perturbed(BASIS, -1.0), "lam must be finite and > 0, got -1.0"),
    "perturbed: not square": (
        lambda: forms.perturbed(Basis(EYE[:, :1], [1.0]), 1.0),
        "basis must have as many features",
    ),
    "small overlap: s1": (lambda: forms.small_overlap_starvation(-1.0, 1.0, 0.1, 1.0), "s1 must be finite and >= 0"),
    "small overlap: s2": (lambda: forms.small_overlap_starvation(1.0, INF, 0.1, 1.0), "s2 must be finite and >= 0"),
    "small overlap: delta": (
        lambda: forms.small_overlap_starvation(1.0, 1.0, 1.0, 1.0),
        "delta must be in [0, 1), got 1.0",
    ),
    "small overlap: lam": (lambda: forms.small_overlap_starvation(1.0, 1.0, 0.1, 0.0), "lam must be finite and > 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_that_names_the_argument(name):
    call, message = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        call()
    text = str(caught.value)
    assert text.startswith(message)
    assert "\n" not in text


TRACED = {
    "lam must be finite and > 0": (lambda x: gs.WeightDecay(x).lam, 1.0, [0.0, -1.0, NAN, INF]),
    "gamma must be finite": (lambda x: SD(1.0, x).gamma, -1.0, [NAN]),
    "lam1 \\+ lam2 must be > 0": (lambda x: Mixed(x, x).lam1, 1.0, [0.0]),
    "s1 must be finite and >= 0": (lambda x: Basis.rotation(x, 1.0, 0.1).s, 0.0, [-1.0, INF]),
    "delta must be in \\[0, 1\\)": (lambda x: Basis.rotation(1.0, 1.0, x).U, 0.0, [1.0, -1e-9, NAN]),
    "s must be finite and >= 0": (lambda x: forms.permutation(x, 1.0, exact=True).z, 0.0, [-1.0]),
    "y must be a vector of -1 and \\+1": (lambda x: _checks.labels("y", jnp.stack([x, x])), 1.0, [0.0, NAN]),
}


@pytest.mark.traced
@pytest.mark.parametrize("message", TRACED)
def test_traced_bad_input_fails_when_it_runs(message):
    build, good, bad = TRACED[message]
    jitted = eqx.filter_jit(build)
    assert np.all(np.isfinite(jitted(jnp.asarray(good))))
    for value in bad:
        with pytest.raises(eqx.EquinoxRuntimeError, match=message):
            jax.block_until_ready(jitted(jnp.asarray(value)))


@pytest.mark.traced
def test_traced_check_stands_in_front_of_the_solver():
    curve = eqx.filter_jit(lambda lam: solve(penalty=gs.WeightDecay(lam)).z)
    assert np.all(np.isfinite(curve(jnp.asarray(0.5))))
    with pytest.raises(eqx.EquinoxRuntimeError, match="lam must be finite and > 0"):
        jax.block_until_ready(curve(jnp.asarray(-0.5)))


def test_floats_keep_their_dtype_and_the_rest_takes_the_default():
    assert _checks.as_float(np.float32([1, 2])).dtype == jnp.float32
    assert _checks.as_float(np.float64(1)).dtype == jnp.float64
    assert _checks.as_float([1, 2]).dtype == jnp.float64
    assert _checks.as_float(np.array([True])).dtype == jnp.float64
    # Python numbers follow whatever they meet
    assert (_checks.as_float(2) * jnp.ones((), jnp.float32)).dtype == jnp.float32
    assert (_checks.as_float(2.0) * jnp.ones((), jnp.float32)).dtype == jnp.float32


HALF = [np.float16([1, 2]), jnp.ones(2, jnp.bfloat16), np.ones(2, jnp.float8_e4m3fn)]
PLAIN = [np.array([1, 2], ">f8"), np.longdouble([1, 2]), np.array([1, 2], ">i4"), np.ma.masked_array([1.0, 2], [0, 0])]
NO_NUMBERS = {
    "x must hold numbers, got dtype object": np.array([1.0, None], object),
    "x must hold numbers, got dtype datetime64[D]": np.array(["2020-01-01"], "M8[D]"),
    "x must have no masked entries, got a masked array of shape (2,)": np.ma.masked_array([1.0, 2], [0, 1]),
    "x must be dense, got a sparse csr_matrix of shape (2, 2)": sparse.csr_matrix(EYE),
    "x must be finite, got {'a': 1}": {"a": 1},
    "x must be finite, got None": None,
    "x must be finite, got inf": 10**400,
}


def test_every_kind_of_number_becomes_one_to_compute_in():
    for x in HALF:
        assert _checks.finite("x", x).dtype == jnp.float32
    for x in PLAIN:
        assert _checks.finite("x", x).dtype == jnp.float64
        np.testing.assert_array_equal(_checks.finite("x", x), [1, 2])
    both = _checks.common(jnp.ones(2, jnp.float32), jnp.ones(2), jnp.asarray(2.0))
    assert [x.dtype for x in both] == [jnp.float64] * 3
    assert _checks.common(jnp.ones(2, jnp.float32), jnp.asarray(2.0))[1].dtype == jnp.float32


@pytest.mark.parametrize("message", NO_NUMBERS)
def test_what_holds_no_numbers_is_named(message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        _checks.finite("x", NO_NUMBERS[message])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_labels_may_be_a_column_and_say_what_to_do_with_0_and_1():
    np.testing.assert_array_equal(_checks.labels("y", [[1], [-1]]), [1, -1])
    np.testing.assert_array_equal(Basis.from_kernel(EYE, [[1], [-1]]).U, Basis.from_kernel(EYE, [1, -1]).U)
    for y in ([0, 1], [True, False], [[0], [1]]):
        with pytest.raises(ValueError, match=r"y must be a vector of -1 and \+1, got .* by 2\*y - 1"):
            _checks.labels("y", y)
    with pytest.raises(ValueError, match="y must have 1 dimensions"):
        _checks.labels("y", np.ones((2, 2)))


def test_a_kernel_in_place_of_a_basis_is_called_what_it_is():
    message = (
        r"^basis must be a FeatureBasis, got an array of shape \(2, 2\): FeatureBasis.from_kernel\(theta, y\) makes"
    )
    for run in (lambda f: f(EYE), lambda f: jax.jit(f)(EYE)):
        with pytest.raises(ValueError, match=message):
            run(lambda kernel: gs.fixed_point(kernel, gs.CrossEntropy(), gs.WeightDecay(1.0)))


@pytest.mark.traced
def test_a_traced_basis_must_be_orthonormal_and_a_traced_kernel_symmetric():
    for build, good, bad, message in (
        (lambda u: Basis(u, jnp.ones(2)).U, EYE, EYE + 0.1, "U must have orthonormal columns"),
        (lambda theta: Basis.from_kernel(theta).s, EYE, EYE + np.triu(EYE + 0.5), "theta must be symmetric"),
        (lambda phi: Basis.from_ntrf(phi).s, EYE, EYE * NAN, "phi must be finite"),
    ):
        jitted = eqx.filter_jit(build)
        assert np.all(np.isfinite(jitted(good)))
        with pytest.raises(eqx.EquinoxRuntimeError, match=message):
            jax.block_until_ready(jitted(bad))


def test_error_shows_the_first_value_at_fault():
    with pytest.raises(ValueError, match=r"^x must be finite and > 0, got -2\.0$"):
        _checks.positive("x", [1.0, -2.0, -3.0])
    assert _checks.positive("x", []).shape == (0,)


def test_concrete_means_without_tracers():
    seen = []
    jax.jit(lambda x: seen.append((_checks.is_concrete(x), _checks.is_concrete([1.0, {"a": x}]))))(1.0)
    assert seen == [(False, False)]
    assert _checks.is_concrete([1.0, jnp.ones(2), None])


def test_lost_digits_are_said_once(monkeypatch):
    monkeypatch.setattr(_checks, "_warned", False)
    with jax.enable_x64(False):
        with pytest.warns(gs.PrecisionWarning, match="float64 arrays become float32") as caught:
            _checks.finite("x", np.ones(2))
        assert caught[0].filename == __file__
        _checks.finite("x", np.ones(2))  # no second time: warnings are errors here
        monkeypatch.setattr(_checks, "_warned", False)
        _checks.finite("x", [1.0, 2.0])
        _checks.finite("x", np.ones(2, np.float32))


def test_integer_takes_every_kind_of_integer():
    assert _checks.integer("n", np.int64(3), 1) == 3
    assert _checks.integer("n", 3, 1, 3) == 3
    with pytest.raises(ValueError, match=r"^n must be in 1\.\.3, got 4$"):
        _checks.integer("n", np.int32(4), 1, 3)
