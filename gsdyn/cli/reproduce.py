"""`gsdyn reproduce NAME`: the experiments of the papers, their figures and data. Those of C18 are defined here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from tyro.extras import SubcommandApp

from gsdyn.cli import reproduce_p21 as p21
from gsdyn.cli._reproduction import Reproduction

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class PhasePlane(Reproduction):
    """The phase plane of one mode: hyperbolas, basins, the frozen region; y(t) and P(t) (C18 Fig 2)."""

    experiments: ClassVar[tuple[str, ...]] = ("phase_plane",)

    norm: float = 0.7
    """Norm of the input, the slope of the plane."""
    rate: float = 0.005
    """Learning rate of the networks laid over the theory."""
    horizon: float = 18.0
    """How long to train, in learning rate times steps."""
    grid: int = 31
    """How many values of each coordinate are classified."""

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["phase_plane"]
        same = ds["outcome"] == ds["outcome_trained"]
        off = max(float(abs(ds[f"{v}_trained"] - ds[v]).max()) for v in ("y", "z", "y_curve", "confidence"))
        return [
            f"{int(same.sum())} of {same.size} trained networks end as the theory says; "
            f"their paths lie within {off:.1e} of its"
        ]


@dataclasses.dataclass(frozen=True)
class Depth(Reproduction):
    """Logit and confidence of deep networks with the paper's diagonal start (C18 Eq 4, Fig 3)."""

    experiments: ClassVar[tuple[str, ...]] = ("depth",)

    u0: float = 0.2
    """Logit at the start."""
    horizon: float = 10.0
    """How long to train, in learning rate times steps."""
    rate: float = 0.05
    """Largest learning rate."""
    halvings: int = 5
    """How often it is halved."""

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["depth"]
        return [
            f"N = {int(part['depth'])}, r = {float(part['norm']):g}: relative error {float(part['error'][-1]):.1e} at "
            f"learning rate {float(ds['learning_rate'][-1]):g}, order {float(part['order']):.3f}; from the start as "
            f"stated (appendix B) the second class reaches {float(part['stated']):g}"
            for part in (ds.sel(case=case) for case in ds["case"])
        ]


@dataclasses.dataclass(frozen=True)
class HingeLoss(Reproduction):
    """The hinge loss beside cross-entropy: curves, time to confidence, many points (C18 Figs 4 right and 6)."""

    experiments: ClassVar[tuple[str, ...]] = ("hinge",)

    z0: float = 0.1
    """Output weight at the start of the curves."""
    u0: float = 0.1
    """Logit at the start where the losses are compared."""
    share: float = 0.8
    """Share of the first class."""
    rate: float = 0.025
    """Largest learning rate."""
    halvings: int = 5
    """How often it is halved."""

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["hinge"]
        late = ds["confidence"] >= 0.6
        off = abs(ds["time_to_trained"] / ds["time_to"] - 1).where(late).max()
        return [
            f"logits within {float(ds['error'][:, -1].max()):.1e} of Eq. 5, order {float(ds['order'].min()):.2f}+",
            f"many points within {float(ds['points_error'][-1]):.1e}, order {float(ds['points_order']):.2f}",
            f"times to confidences of 0.6 or more within {float(off):.1%} of the theory",
        ]


@dataclasses.dataclass(frozen=True)
class IndependentModes(Reproduction):
    """Trained networks against the theory of independent modes, and where it stops (C18 Lemma 3.1, Thm 3.2, A)."""

    experiments: ClassVar[tuple[str, ...]] = ("independent_modes", "broken_modes")

    rate: float = 0.1
    """Largest learning rate."""
    halvings: int = 7
    """How often it is halved."""
    horizon: float = 16.0
    """How long to train, in learning rate times steps."""
    seeds: int = 3
    """How many random starts of every case."""
    broken_rate: float = 0.0025
    """Learning rate where the assumptions are violated."""

    def settings(self, name: str) -> dict[str, Any]:
        if name == "broken_modes":
            return {"rate": self.broken_rate}
        return {field: getattr(self, field) for field in ("rate", "halvings", "horizon", "seeds")}

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds, broken = datasets["independent_modes"], datasets["broken_modes"]
        lines = [
            f"{case}, {batches}: largest relative error {float(part['error'][-1]):.2%} at learning rate "
            f"{float(ds['learning_rate'][-1]):.2g}, order {float(part['order']):.2f} (at counted times "
            f"{float(part['counted_error'][-1]):.2%}, {float(part['counted_order']):.2f}); invariants drift by "
            f"{float(part['drift'][-1]):.1e}; active sets and signs {'kept' if bool(part['kept'].all()) else 'CHANGED'}"
            for case in ds["case"].values
            for batches in ds["batches"].values
            for part in [ds.sel(case=case, batches=batches)]
        ]
        for name in broken["assumption"].values:
            part = broken.sel(assumption=name)
            errors = ", ".join(
                f"{float(a):g}: {float(e):.1e}" for a, e in zip(part["amount"], part["error"], strict=True)
            )
            lines.append(f"{name} violated, error of a logit by degree: {errors}")
        return lines


@dataclasses.dataclass(frozen=True)
class RareFeature(Reproduction):
    """A frequent feature starves a rare one: bounds, Eq. 7 and trained networks (C18 Figs 5 and 7, Table 1)."""

    experiments: ClassVar[tuple[str, ...]] = ("rare_feature",)

    a0: float = 0.1
    """Weight of the frequent feature at the start."""
    z0: float = 0.1
    """Output weight at the start."""
    rate: float = 0.1
    """Learning rate."""

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["rare_feature"].isel(start=0)
        lines = [
            f"q = {float(q):g}, eps = {float(eps):g}: bound {float(cell['table_bound']):.1%}, Eq. 7 "
            f"{float(cell['table_integrated']):.1%}, trained {float(cell['table_trained']):.1%}"
            for eps in ds["table_eps"]
            for q in ds["fraction"]
            for cell in [ds.sel(fraction=q, table_eps=eps)]
        ]
        worst = datasets["rare_feature"]["violation"]
        return [*lines, f"the bound is respected along every run: largest excess {float(worst.max()):.1e}"]


reproduce = SubcommandApp()
reproduce.command(name="phase-plane")(PhasePlane)
reproduce.command(name="depth")(Depth)
reproduce.command(name="hinge")(HingeLoss)
reproduce.command(name="independent-modes")(IndependentModes)
reproduce.command(name="rare-feature")(RareFeature)
reproduce.command(name="moons")(p21.Moons)
reproduce.command(name="moons-responses")(p21.MoonsResponses)
reproduce.command(name="moons-regularisers")(p21.MoonsRegularisers)
reproduce.command(name="theory-in-one-figure")(p21.TheoryInOneFigure)
reproduce.command(name="legendre")(p21.Legendre)
reproduce.command(name="width")(p21.Width)
