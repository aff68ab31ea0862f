"""Features of a data set and network (P21 section 3.1): the basis that every equation is written in."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks
from gsdyn._numerics import eigen, krylov, linear, pairs, psd
from gsdyn._numerics.precision import full_precision
from gsdyn._readable import Readable, Summary, shown
from gsdyn._traced import error_if

EXACT = 1000  # examples up to which all eigenvectors are computed


class FeatureBasis(Readable):
    """Features, their strengths and their weight in every example (P21-Def1).

    The label-signed matrix is `Y Phi = U S V^T`; feature `j` has strength `s_j` and weight
    `U[:, j]` in the examples. For an infinitely wide network only `K = Y Theta Y = U S^2 U^T`
    exists, and its eigendecomposition gives `U` and `s`.

    - `U`: shape (n, k), orthonormal columns, `k <= n`.
    - `s`: shape (k,), strengths, finite and >= 0. Both are held in the wider of their dtypes, float32 at least.

    Predictions at new inputs need nothing else: `U` and `s` give the coefficients `beta` of a fixed point, and
    `theta_new @ (y * beta)` its outputs. The right singular vectors, of as many entries as the network has parameters,
    are not kept: where they are needed, `V = Phi^T (y * U) / s` has them.

    Raises `ValueError` for shapes that do not fit, values that are not finite, negative strengths,
    and columns that are not orthonormal. Reference: Pezeshki et al. 2021, section 3.1.

        >>> basis = gs.FeatureBasis.from_kernel(theta, y)
        >>> print(basis.s, basis.features)
        [1.885 1.775 0.629 0.398] 4
    """

    U: Float[Array, "n k"]
    s: Float[Array, " k"]

    def __init__(self, U: ArrayLike, s: ArrayLike):
        u, s = _checks.finite("U", U, ndim=2), _checks.nonnegative("s", s, ndim=1)
        n, k = u.shape
        if s.shape != (k,) or not 1 <= k <= n:
            raise ValueError(f"U and s must have shapes (n, k) and (k,) with 1 <= k <= n, got {u.shape} and {s.shape}")
        self.U, self.s = _checks.common(_require_orthonormal(u), s)

    @classmethod
    def _of(cls, U: Array, s: Array) -> FeatureBasis:
        """What needs no check: under `vmap` a check would copy what it lets through."""
        basis = object.__new__(cls)
        object.__setattr__(basis, "U", U)
        object.__setattr__(basis, "s", s)
        return basis

    @classmethod
    def rotation(cls, s1: ArrayLike, s2: ArrayLike, delta: ArrayLike) -> FeatureBasis:
        """Two features that overlap by `delta` (P21-Eq15): `U = [[c, -delta], [delta, c]]`.

        `c = sqrt(1 - delta^2)`; `s1`, `s2` are the strengths (>= 0), `delta` lies in [0, 1).
        """
        s1, s2 = _checks.nonnegative("s1", s1, ndim=0), _checks.nonnegative("s2", s2, ndim=0)
        delta = _checks.require("delta", delta, "in [0, 1)", lambda v: (v >= 0) & (v < 1), ndim=0)
        s1, s2, delta = _checks.common(s1, s2, delta)
        c = jnp.sqrt((1 - delta) * (1 + delta))
        return cls._of(pairs.square(c, -delta, delta, c), pairs.pair(s1, s2))

    @classmethod
    @full_precision
    def from_kernel(
        cls,
        theta: ArrayLike,
        y: ArrayLike | None = None,
        rank: int | None = None,
        *,
        tolerance: float | None = None,
    ) -> FeatureBasis:
        """The features of a kernel: eigenvectors of `K = Y Theta Y` (P21-Def1), strongest first.

        - `theta`: shape (n, n), symmetric and positive semi-definite, for example an NTK; (n, n, 1, 1) of one output.
        - `y`: labels -1 or +1, shape (n,); None leaves the kernel unsigned (multi-class, Eqs 29-30).
        - `rank`: keep this many of the strongest features (default all n).
        - `tolerance`: how accurate `theta` is, relative to its largest eigenvalue, in [0, 1): eigenvalues up to that
          size are set to zero, negative ones too. By default those below `n eps`, which rounding cannot tell from zero.
          A negative one beyond that, as the kernels of `gsdyn.networks.Stax` and single precision have, then sets all
          up to its size to zero with a warning that says how large it is, as long as it is less than the root of the
          `eps` of the precision in which `theta` came (float32 also where a float64 array holds its numbers).

        All eigenvectors are computed up to n = 1,000 or where `rank` exceeds n/20; beyond, and outside `jit`, `vmap`
        and `grad`, the strongest by `from_product`, with its error. `gsdyn.truncation_bound` tells what those left out
        can change.

        Each column of `U` sums to a non-negative number. Where strengths repeat (`repeated`) single columns, and
        derivatives of them and of single responses, are arbitrary; those of what depends on the kernel only are right:
        margins, dual variables and objective of a fixed point, `kernel()`. Features of strength zero have no
        derivative. Raises `ValueError` for a kernel that is not finite, not symmetric beyond rounding of the precision
        in which it came or `tolerance`, or not positive semi-definite beyond `tolerance` (of the part computed);
        inside `jit` there is no warning, and 8 `n eps` by default.
        """
        given = psd.of_one_output(theta)
        theta = _checks.finite("theta", given, ndim=2)
        _checks.square("theta", theta)
        accuracy = psd.accuracy(given, theta) if tolerance is None else psd.tolerance(tolerance)
        n = theta.shape[0]
        rank = n if rank is None else _checks.integer("rank", rank, 1, n)
        theta = psd.symmetric(theta, given, 0.0 if tolerance is None else accuracy)
        if y is not None:
            y = _checks.labels("y", y).astype(theta.dtype)
            _checks.same_length("y", y, "theta", theta)
        if n > EXACT and 20 * rank <= n and _checks.is_concrete((theta, y)):
            entries = np.asarray(theta)  # shares its memory on a CPU
            return cls.from_product(lambda v: entries @ v, y, rank, examples=n, dtype=theta.dtype)
        s2, u = _spectrum(theta, y)
        return cls._from_eigen(s2, u, n, rank, accuracy, told=tolerance is not None)

    @classmethod
    @full_precision
    def from_product(
        cls,
        product: Callable[[np.ndarray], ArrayLike],
        y: ArrayLike | None,
        rank: int,
        *,
        examples: int,
        dtype: DTypeLike = float,
    ) -> FeatureBasis:
        """The strongest features of a kernel known by its products, such as `gsdyn.kernels.ntk_product`.

        - `product`: from `V`, shape (n, b), to `Theta V`.
        - `y`: labels -1 or +1, shape (n,); None leaves the kernel unsigned.
        - `rank`: how many features, at most n/10.
        - `examples`, `dtype`: n, and the precision of the products.

        Every feature has a residual `|K u - s^2 u| <= 8 sqrt(n) eps max(s^2)`, so that `s^2` is that near to an
        eigenvalue; by a restarted Lanczos method from a fixed start. Raises `ValueError` where that is not reached.
        """
        n = _checks.integer("examples", examples, 10)
        rank = _checks.integer("rank", rank, 1, n // 10)
        if not callable(product):
            raise ValueError(f"product must be a function of V, shape (n, b), got {_checks.in_short(product)}")
        kind = np.dtype(_checks.as_float(jnp.zeros((), dtype)).dtype)
        sign = np.ones((n, 1), kind)
        if y is not None:
            sign = np.asarray(_checks.labels("y", y), kind)[:, None]
            if len(sign) != n:
                raise ValueError(f"y must have one label for each of {n} examples, got shape {sign[:, 0].shape}")

        def signed(v: np.ndarray) -> np.ndarray:
            image = np.asarray(_checks.finite("product(V)", product(sign * v)))
            if image.shape != v.shape:
                raise ValueError(f"product(V) must have the shape of V, got {image.shape} for {v.shape}")
            return sign * image.astype(kind)

        s2, u = krylov.leading(signed, n, rank, kind)
        return cls._from_eigen(jnp.asarray(s2), jnp.asarray(u), n, rank)

    @classmethod
    def _from_eigen(
        cls, s2: Array, u: Array, n: int, rank: int, accuracy: float = 0.0, *, told: bool = True
    ) -> FeatureBasis:
        """From eigenvalues in descending order: those that `accuracy` cannot tell from zero are zero, negative ones
        beyond it an error; where nobody `told` it, it only serves to take what is negative with a warning."""
        rounding = n * float(jnp.finfo(s2.dtype).eps)
        if _checks.is_concrete(s2):
            values = np.asarray(s2)
            psd.require(float(values[-1]), float(values[0]), 8 * rounding, accuracy, told=told)
        else:
            top = jnp.max(jnp.abs(s2))
            bad = -s2[-1] > max(8 * rounding, accuracy if told else 0.0) * top
            s2 = s2 * error_if(jnp.ones_like(top), bad, "theta must be positive semi-definite")
        return cls._decomposition(*_of_kernel(u, s2, max(rounding, accuracy if told else 0.0), rank))

    @classmethod
    @full_precision
    def from_ntrf(cls, phi: ArrayLike, y: ArrayLike | None = None, rank: int | None = None) -> FeatureBasis:
        """The features of an NTRF matrix `Phi` (P21-Eq2): the singular vectors of `Y Phi` (P21-Def1).

        - `phi`: shape (n, m), the Jacobian of the outputs with respect to the parameters; (n, 1, m) of one output.
        - `y`: labels -1 or +1, shape (n,); None leaves it unsigned.
        - `rank`: keep this many of the strongest features (default all min(n, m)).

        Singular values below `max(n, m) eps max(s)` are set to zero. What derivatives mean where strengths repeat:
        see `from_kernel`.
        """
        shape = psd.shape_of(phi)
        if len(shape) == 3 and shape[1] == 1:
            phi = phi.reshape(shape[0], shape[2])  # pyright: ignore[reportAttributeAccessIssue]
        phi = _checks.finite("phi", phi, ndim=2)
        if phi.size == 0:
            raise ValueError(f"phi must not be empty, got shape {phi.shape}")
        if y is not None:
            y = _checks.labels("y", y).astype(phi.dtype)
            _checks.same_length("y", y, "phi", phi)
        rank = min(phi.shape) if rank is None else _checks.integer("rank", rank, 1, min(phi.shape))
        return cls._decomposition(*_of_ntrf(phi, y, rank))

    @classmethod
    def _decomposition(cls, u: Array, s: Array) -> FeatureBasis:
        return cls._of(u, _checks.nonnegative("the strengths of theta or phi", s))

    def _summary(self) -> Summary:
        shape = getattr(getattr(self, "U", None), "shape", ())
        size = f" of {shape[-1]:,} features in {shape[-2]:,} examples" if len(shape) > 1 else ""
        return Summary(f"FeatureBasis{size}", [("strengths s", shown(getattr(self, "s", None)))])

    @property
    def examples(self) -> int:
        """Number of examples n."""
        return self.U.shape[0]

    @property
    def features(self) -> int:
        """Number of features k."""
        return self.U.shape[1]

    @full_precision
    def kernel(self) -> Float[Array, "n n"]:
        """The label-signed kernel `K = U S^2 U^T` (P21-Def1)."""
        return (self.U * (self.s * self.s)[None, :]) @ self.U.T

    @full_precision
    def margins(self, z: Float[Array, " k"]) -> Float[Array, " n"]:
        """Margins of given responses, `f = U z` (P21-Eq4)."""
        return self.U @ z

    @full_precision
    def responses(self, margins: Float[Array, " n"]) -> Float[Array, " k"]:
        """Responses of given margins, `z = U^T f` (P21-Eq4)."""
        return margins @ self.U if margins.ndim == 1 else self.U.T @ margins

    def repeated(self) -> Bool[Array, " k"]:
        """Which features share their strength with another to rounding, so that only the space they span,
        not the single vectors, is determined by the data (after P21-Def1)."""
        s2 = self.s * self.s
        near = jnp.abs(s2[:, None] - s2[None, :]) <= 8 * len(s2) * jnp.finfo(s2.dtype).eps * jnp.max(s2)
        return jnp.sum(near, axis=1) > 1


# one program each, not one for every operation: that is most of the time that a basis takes at first


@jax.jit
def _spectrum(theta: Array, y: Array | None) -> tuple[Array, Array]:
    kernel = (theta + theta.T) / 2
    return eigen.eigh(kernel if y is None else y[:, None] * kernel * y[None, :])


@functools.partial(jax.jit, static_argnames="rank")
def _of_kernel(u: Array, s2: Array, share: float, rank: int) -> tuple[Array, Array]:
    """Eigenvalues up to `share` of the largest, or as far above zero as others are below, are zero."""
    floor = jnp.maximum(share * jnp.max(jnp.abs(s2)), -s2[-1])
    return _strongest(u, jnp.where(s2 > jax.lax.stop_gradient(floor), s2, 0.0), rank)


@functools.partial(jax.jit, static_argnames="rank")
def _of_ntrf(phi: Array, y: Array | None, rank: int) -> tuple[Array, Array]:
    u, s, _ = eigen.svd(phi if y is None else y[:, None] * phi)
    floor = max(phi.shape) * jnp.finfo(phi.dtype).eps * jnp.max(s)
    return _strongest(u, jnp.where(s > floor, s * s, 0.0), rank)


def _strongest(u: Array, s2: Array, rank: int) -> tuple[Array, Array]:
    """Vectors, each of a sum that is not negative, and strengths."""
    u, s2 = u[:, :rank], s2[:rank]
    sign = jnp.where(jnp.sum(u, axis=0) < 0, -1.0, 1.0).astype(u.dtype)
    positive = s2 > 0
    return u * sign[None, :], jnp.where(positive, jnp.sqrt(jnp.where(positive, s2, 1.0)), 0.0)


@full_precision
def _require_orthonormal(u: Array) -> Array:
    """`u`, for which `u^T u p = p` must hold for a dense probe `p`: O(nk), and false with probability one otherwise."""
    probe = np.cos(1.0 + np.arange(u.shape[1])).astype(u.dtype)
    allowed = float(jnp.finfo(u.dtype).eps) ** 0.5
    if not _checks.is_concrete(u):
        error = jnp.max(jnp.abs(linear.adjoint(u, linear.product(u, jnp.asarray(probe))) - probe))
        return u * error_if(jnp.ones((), u.dtype), ~(error <= allowed), "U must have orthonormal columns")
    entries = np.asarray(u)
    error = float(np.max(np.abs(entries.T @ (entries @ probe) - probe)))
    if error > allowed:
        raise ValueError(f"U must have orthonormal columns, got a deviation of {error:.3g}")
    return u
