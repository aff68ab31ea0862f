"""The experiments of C18: one mode of learning, depth, the hinge loss, many modes, a rare feature."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from gsdyn._options import Count, Positive, inside, whole
from gsdyn.experiments.catalogue._experiment import Experiment, Part, Trained

if TYPE_CHECKING:
    import xarray as xr

Halvings = Annotated[int, whole(1, 30)]


@dataclasses.dataclass(frozen=True)
class PhasePlane(Experiment):
    """The phase plane of one mode: hyperbolas, basins, the frozen region; y(t) and P(t) (C18 Fig 2)."""

    command: ClassVar[str] = "phase-plane"

    norm: Positive = 0.7
    """Norm of the input, the slope of the plane."""
    rate: Positive = 0.005
    """Learning rate of the networks laid over the theory."""
    horizon: Positive = 18.0
    """How long to train, in learning rate times steps."""
    grid: Annotated[int, whole(2)] = 31
    """How many values of each coordinate are classified."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._c18_tables import table_phase_plane
        from gsdyn.experiments.phase_plane import phase_plane
        from gsdyn.plotting.phase_plane import draw_phase_plane

        return (Part(phase_plane, draw_phase_plane, self.options(), table=table_phase_plane),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        same = ds["outcome"] == ds["outcome_trained"]
        off = max(float(abs(ds[f"{v}_trained"] - ds[v]).max()) for v in ("y", "z", "y_curve", "confidence"))
        return [
            f"{int(same.sum())} of {same.size} trained networks end as the theory says; "
            f"their paths lie within {off:.1e} of its"
        ]


@dataclasses.dataclass(frozen=True)
class Depth(Experiment):
    """Logit and confidence of deep networks with the paper's diagonal start (C18 Eq 4, Fig 3)."""

    command: ClassVar[str] = "depth"

    u0: Positive = 0.2
    """Logit at the start."""
    horizon: Positive = 10.0
    """How long to train, in learning rate times steps."""
    rate: Positive = 0.05
    """Largest learning rate."""
    halvings: Halvings = 5
    """How often it is halved."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._c18_tables import table_depth
        from gsdyn.experiments.depth import depth
        from gsdyn.plotting.depth import draw_depth

        return (Part(depth, draw_depth, self.options(), table=table_depth),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        return [
            f"N = {int(part['depth'])}, r = {float(part['norm']):g}: relative error {float(part['error'][-1]):.1e} at "
            f"learning rate {float(ds['learning_rate'][-1]):g}, order {float(part['order']):.3f}; from the start as "
            f"stated (appendix B) the second class reaches {float(part['stated']):g}"
            for part in (ds.sel(case=case) for case in ds["case"])
        ]


@dataclasses.dataclass(frozen=True)
class HingeLoss(Experiment):
    """The hinge loss beside cross-entropy: curves, time to confidence, many points (C18 Figs 4 right and 6)."""

    command: ClassVar[str] = "hinge"

    z0: Positive = 0.1
    """Output weight at the start of the curves."""
    u0: Positive = 0.1
    """Logit at the start where the losses are compared."""
    share: Annotated[float, inside(0, 1)] = 0.8
    """Share of the first class."""
    rate: Positive = 0.025
    """Largest learning rate."""
    halvings: Halvings = 5
    """How often it is halved."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._c18_tables import table_hinge
        from gsdyn.experiments.hinge import hinge
        from gsdyn.plotting.hinge import draw_hinge

        return (Part(hinge, draw_hinge, self.options(), table=table_hinge),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        late = ds["confidence"] >= 0.6
        off = abs(ds["time_to_trained"] / ds["time_to"] - 1).where(late).max()
        return [
            f"logits within {float(ds['error'][:, -1].max()):.1e} of Eq. 5, order {float(ds['order'].min()):.2f}+",
            f"many points within {float(ds['points_error'][-1]):.1e}, order {float(ds['points_order']):.2f}",
            f"times to confidences of 0.6 or more within {float(off):.1%} of the theory",
        ]


@dataclasses.dataclass(frozen=True)
class IndependentModes(Experiment):
    """Trained networks against the theory of independent modes, and where it stops (C18 Lemma 3.1, Thm 3.2, A)."""

    command: ClassVar[str] = "independent-modes"

    rate: Positive = 0.1
    """Largest learning rate."""
    halvings: Halvings = 7
    """How often it is halved."""
    horizon: Positive = 16.0
    """How long to train, in learning rate times steps."""
    seeds: Count = 3
    """How many random starts of every case."""
    broken_rate: Positive = 0.0025
    """Learning rate where the assumptions are violated."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._c18_tables import table_broken_modes, table_independent_modes
        from gsdyn.experiments.broken_modes import broken_modes
        from gsdyn.experiments.independent_modes import independent_modes
        from gsdyn.plotting.broken_modes import draw_broken_modes
        from gsdyn.plotting.independent_modes import draw_independent_modes

        options = self.options()
        broken = {"rate": options.pop("broken_rate")}
        return (
            Part(independent_modes, draw_independent_modes, options, table=table_independent_modes),
            Part(broken_modes, draw_broken_modes, broken, table=table_broken_modes),
        )

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        ds, broken = datasets
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
class RareFeature(Experiment):
    """A frequent feature starves a rare one: bounds, Eq. 7 and trained networks (C18 Figs 5 and 7, Table 1)."""

    command: ClassVar[str] = "rare-feature"

    a0: Positive = 0.1
    """Weight of the frequent feature at the start."""
    z0: Positive = 0.1
    """Output weight at the start."""
    rate: Positive = 0.1
    """Learning rate."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._c18_tables import table_rare_feature
        from gsdyn.experiments.rare_feature import rare_feature
        from gsdyn.plotting.rare_feature import draw_rare_feature

        return (Part(rare_feature, draw_rare_feature, self.options(), table=table_rare_feature),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        ds = datasets[0].isel(start=0)
        lines = [
            f"q = {float(q):g}, eps = {float(eps):g}: bound {float(cell['table_bound']):.1%}, Eq. 7 "
            f"{float(cell['table_integrated']):.1%}, trained {float(cell['table_trained']):.1%}"
            for eps in ds["table_eps"]
            for q in ds["fraction"]
            for cell in [ds.sel(fraction=q, table_eps=eps)]
        ]
        worst = datasets[0]["violation"]
        return [*lines, f"the bound is respected along every run: largest excess {float(worst.max()):.1e}"]


@dataclasses.dataclass(frozen=True)
class Gan(Trained):
    """Eight Gaussians: modes that generators cover against cross-entropy and against the hinge (C18 section 6)."""

    command: ClassVar[str] = "gan"

    seeds: Count = 10
    """Pairs of networks for each loss."""
    steps: Count = 20_000
    """Steps of the generator."""
    records: Count = 40
    """How often they are judged on the way."""
    batch: Count = 64
    """Points a step."""
    discriminator_steps: Count = 1
    """Steps of the discriminator to every one of the generator; the paper states none."""
    width: Positive = 0.02
    """Standard deviation of each Gaussian; the paper states none."""
    quick: bool = False
    """A first look: one seed, a tenth of the steps, whatever is asked for."""
    less: ClassVar[dict[str, Any]] = {"seeds": 1, "steps": 2000, "records": 8}

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._c18_tables import table_gan
        from gsdyn.experiments.gan import gan
        from gsdyn.plotting.gan import draw_gan

        return (Part(gan, draw_gan, self.settings(), self.kept(), table=table_gan),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        end = datasets[0].isel(step=-1)
        return [
            f"{loss}: {float(part['covered'].mean()):.1f} of 8 modes covered (least {int(part['covered'].min())}), "
            f"{float(part['good'].mean()):.1%} of the samples good, divergence {float(part['divergence'].mean()):.3f}"
            for loss in end["loss"].values
            for part in [end.sel(loss=loss)]
        ]
