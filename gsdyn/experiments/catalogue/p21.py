"""The experiments of P21: two moons, the theory in one figure, losses, networks of finite width."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from gsdyn._options import Count, Overlap, Positive
from gsdyn.experiments.catalogue._experiment import Experiment, Part, Trained, spread

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class Moons(Trained):
    """Decision boundaries on two moons, cross-entropy and spectral decoupling, with margins (P21 Fig 1)."""

    command: ClassVar[str] = "moons"

    seeds: Count = 10
    """How many seeds, each with its data and start."""
    steps: Count = 10_000
    """Steps of training; judged after a tenth of them too."""
    quick: bool = False
    """A first look: three seeds and a tenth of the steps, whatever is asked for."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._p21_tables import table_moons
        from gsdyn.experiments.moons import moons
        from gsdyn.plotting.moons import draw_moons

        return (Part(moons, draw_moons, *self.training(), table=table_moons),)

    def training(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Settings, and where finished runs are kept."""
        settings = self.settings()
        if self.quick:
            settings |= {"seeds": min(self.seeds, 3), "steps": max(1, self.steps // 10)}
        return settings, self.kept()

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        return [
            f"{variant}, {int(part['steps_taken'])} steps: margin in input space, mean "
            f"{spread(part['mean_margin'])}, least {spread(part['least_margin'])}, accuracy "
            f"{float(part['accuracy'].mean()):.2%} ({int(part['runs'])} seeds)"
            for step in ds["step"].values
            for variant in ds["variant"].values
            for part in [ds.sel(variant=variant, step=step)]
        ]


@dataclasses.dataclass(frozen=True)
class MoonsRegularisers(Moons):
    """Ten ways to train on two moons: decision boundaries and margins in input space (P21 Fig 7)."""

    command: ClassVar[str] = "moons-regularisers"

    costly_seeds: Count | None = None
    """As many seeds for the longer variant and the deeper one, which take most of the time; None for all."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._p21_tables import table_moons
        from gsdyn.experiments.moons_regularisers import moons_regularisers
        from gsdyn.plotting.moons import draw_moons_regularisers

        return (Part(moons_regularisers, draw_moons_regularisers, *self.training(), table=table_moons),)


@dataclasses.dataclass(frozen=True)
class MoonsResponses(Moons):
    """Responses of the features along training on two moons, with and without spectral decoupling (P21 Fig 2)."""

    command: ClassVar[str] = "moons-responses"

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._p21_tables import table_moons_responses
        from gsdyn.experiments.moons_responses import moons_responses
        from gsdyn.plotting.moons_responses import draw_moons_responses

        return (Part(moons_responses, draw_moons_responses, *self.training(), table=table_moons_responses),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        end = abs(ds["response"].isel(step=-1))
        return [
            f"{variant}, |z| at the end: "
            + ", ".join(f"feature {j} {spread(end.sel(variant=variant, feature=j))}" for j in ds.attrs["followed"])
            for variant in ds["variant"].values
        ]


@dataclasses.dataclass(frozen=True)
class TheoryInOneFigure(Experiment):
    """Primal, dual and decoupled trajectories of two responses, and their ends (P21 Fig 6)."""

    command: ClassVar[str] = "theory-in-one-figure"

    lam: Positive = 0.01
    """Weight decay."""
    decoupling: Positive = 0.002
    """Strength of spectral decoupling."""
    delta: Overlap = 0.5
    """Overlap of the features."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._p21_tables import table_theory_in_one_figure
        from gsdyn.experiments.theory_in_one_figure import theory_in_one_figure
        from gsdyn.plotting.theory_in_one_figure import draw_theory_in_one_figure

        return (
            Part(theory_in_one_figure, draw_theory_in_one_figure, self.options(), table=table_theory_in_one_figure),
        )

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        ends = "; ".join(
            f"s1 = {float(s1):g}: ({', '.join(f'{float(z):.4f}' for z in ds['end'].isel(method=0).sel(s1=s1))})"
            for s1 in ds["s1"]
        )
        return [
            f"fixed points under weight decay, {ends}",
            f"the flows end within {float(ds['distance'].max()):.1e} of them",
            f"under spectral decoupling they differ by {float(ds['end'].isel(method=2).std('s1').max()):.1e}",
        ]


@dataclasses.dataclass(frozen=True)
class Legendre(Experiment):
    """Losses as maxima of their tangent lines, and their conjugates (P21 Fig 8, Table 4)."""

    command: ClassVar[str] = "legendre"

    lines: Count = 6
    """How many tangent lines to show."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._p21_tables import table_legendre
        from gsdyn.experiments.legendre import legendre
        from gsdyn.plotting.legendre import draw_legendre

        return (Part(legendre, draw_legendre, self.options(), table=table_legendre),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        return [
            f"{loss}: every line lies below the loss to {float((ds['bound'] - ds['value']).sel(loss=loss).max()):.1e}, "
            f"its own touches it to {float(abs(ds['gap']).sel(loss=loss).max()):.1e}"
            for loss in ds["loss"].values
        ]


@dataclasses.dataclass(frozen=True)
class Width(Trained):
    """Theory against training: networks of width 64 to 8,192 beside the predicted responses (P21 section 3)."""

    command: ClassVar[str] = "width"

    seeds: Count = 3
    """How many networks of every width."""
    digits_widest: Count = 8192
    """The largest width on the digits, whose widest networks take most of the time."""
    lam: Positive = 1.0
    """Weight decay to the weights at the start."""
    quick: bool = False
    """A first look: two seeds, moons alone, widths up to 1,024."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._p21_tables import table_width
        from gsdyn.experiments.width import width
        from gsdyn.plotting.width import draw_width

        return (Part(width, draw_width, self.settings(), self.kept(), table=table_width),)

    def settings(self) -> dict[str, Any]:
        """The arguments of the experiment."""
        if self.quick:
            return {"seeds": 2, "lam": self.lam, "problems": ("moons",), "widths": (64, 128, 256, 512, 1024)}
        return {"seeds": self.seeds, "lam": self.lam, "digits_widest": self.digits_widest}

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        lines = []
        for problem in ds["problem"].values:
            for prediction in ds["prediction"].values:
                part = ds.sel({"problem": problem, "prediction": prediction})
                widest = part.dropna("width", subset=["path_error"]).isel(width=-1)
                errors = ", ".join(f"{float(e):.1%}" for e in widest["feature_error"].mean("seed"))
                lines.append(
                    f"{problem}, NTK {prediction}: width {int(widest['width'])}, path within "
                    f"{float(widest['path_error'].max()):.2%}, five features {errors}; exponent "
                    f"{float(part['exponent']):.3f} "
                    f"[{float(part['exponent_low']):.3f}, {float(part['exponent_high']):.3f}]"
                )
            widest = ds.sel({"problem": problem}).dropna("width", subset=["end_error"]).isel(width=-1)
            lines.append(
                f"{problem}: fixed point within {float(widest['end_error'].max()):.2%}, changes where one feature is "
                f"stronger within {float(widest['change_error'].max()):.2%}"
            )
        return lines
