"""The experiments of P21 as commands: two moons, the theory in one figure, losses, networks of finite width."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from gsdyn.cli._reproduction import Reproduction

if TYPE_CHECKING:
    import xarray as xr


def _spread(values: xr.DataArray) -> str:
    return f"{float(values.mean('seed')):.3f} +- {float(values.std('seed')):.3f}"


@dataclasses.dataclass(frozen=True)
class Moons(Reproduction):
    """Decision boundaries on two moons, cross-entropy and spectral decoupling, with margins (P21 Fig 1)."""

    experiments: ClassVar[tuple[str, ...]] = ("moons",)

    seeds: int = 10
    """How many seeds, each with its data and start."""
    steps: int = 10_000
    """Steps of training; judged after a tenth of them too."""
    quick: bool = False
    """A first look: three seeds and a tenth of the steps, whatever is asked for."""

    def settings(self, name: str) -> dict[str, Any]:
        if self.quick:
            return {"seeds": min(self.seeds, 3), "steps": max(1, self.steps // 10)}
        return {"seeds": self.seeds, "steps": self.steps}

    def places(self, name: str) -> dict[str, Any]:
        # a quick look has runs of its own, which a full one must not meet
        return {"runs": self.results / ("runs_quick" if self.quick else "runs")}

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        (ds,) = datasets.values()
        return [
            f"{variant}, {int(step) * self.longer(variant)} steps: margin in input space, mean "
            f"{_spread(part['mean_margin'])}, least {_spread(part['least_margin'])}, accuracy "
            f"{float(part['accuracy'].mean()):.2%} ({int(part['runs'])} seeds)"
            for step in ds["step"].values
            for variant in ds["variant"].values
            for part in [ds.sel(variant=variant, step=step)]
        ]

    def longer(self, variant: str) -> int:
        """How many times the usual steps a variant takes."""
        return 10 if variant == "10 times longer" else 1


@dataclasses.dataclass(frozen=True)
class MoonsRegularisers(Moons):
    """Ten ways to train on two moons: decision boundaries and margins in input space (P21 Fig 7)."""

    experiments: ClassVar[tuple[str, ...]] = ("moons_regularisers",)

    costly_seeds: int | None = None
    """As many seeds for the longer variant and the deeper one, which take most of the time; None for all."""

    def settings(self, name: str) -> dict[str, Any]:
        return {**super().settings(name), "costly_seeds": self.costly_seeds}


@dataclasses.dataclass(frozen=True)
class MoonsResponses(Moons):
    """Responses of the features along training on two moons, with and without spectral decoupling (P21 Fig 2)."""

    experiments: ClassVar[tuple[str, ...]] = ("moons_responses",)

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["moons_responses"]
        end = abs(ds["response"].isel(step=-1))
        return [
            f"{variant}, |z| at the end: "
            + ", ".join(f"feature {j} {_spread(end.sel(variant=variant, feature=j))}" for j in ds.attrs["followed"])
            for variant in ds["variant"].values
        ]


@dataclasses.dataclass(frozen=True)
class TheoryInOneFigure(Reproduction):
    """Primal, dual and decoupled trajectories of two responses, and their ends (P21 Fig 6)."""

    experiments: ClassVar[tuple[str, ...]] = ("theory_in_one_figure",)

    lam: float = 0.01
    """Weight decay."""
    decoupling: float = 0.002
    """Strength of spectral decoupling."""
    delta: float = 0.5
    """Overlap of the features."""

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["theory_in_one_figure"]
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
class Legendre(Reproduction):
    """Losses as maxima of their tangent lines, and their conjugates (P21 Fig 8, Table 4)."""

    experiments: ClassVar[tuple[str, ...]] = ("legendre",)

    lines: int = 6
    """How many tangent lines to show."""

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["legendre"]
        return [
            f"{loss}: every line lies below the loss to {float((ds['bound'] - ds['value']).sel(loss=loss).max()):.1e}, "
            f"its own touches it to {float(abs(ds['gap']).sel(loss=loss).max()):.1e}"
            for loss in ds["loss"].values
        ]


@dataclasses.dataclass(frozen=True)
class Width(Reproduction):
    """Theory against training: networks of width 64 to 8,192 beside the predicted responses (P21 section 3)."""

    experiments: ClassVar[tuple[str, ...]] = ("width",)

    seeds: int = 3
    """How many networks of every width."""
    digits_widest: int = 8192
    """The largest width on the digits, whose widest networks take most of the time."""
    lam: float = 1.0
    """Weight decay to the weights at the start."""
    quick: bool = False
    """A first look: two seeds, moons alone, widths up to 1,024."""

    def settings(self, name: str) -> dict[str, Any]:
        if self.quick:
            return {"seeds": 2, "lam": self.lam, "problems": ("moons",), "widths": (64, 128, 256, 512, 1024)}
        return {"seeds": self.seeds, "lam": self.lam, "digits_widest": self.digits_widest}

    def places(self, name: str) -> dict[str, Any]:
        return {"runs": self.results / "runs"}

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        ds = datasets["width"]
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
