"""The experiments of P21 on coloured digits."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from gsdyn._options import Count, whole
from gsdyn.experiments.catalogue._experiment import Part, Trained

if TYPE_CHECKING:
    import xarray as xr

QUICK = {"seeds": 1, "source": "digits", "train": 400, "test": 1000, "pace": 5}
FOLDER = "colour_digits"


@dataclasses.dataclass(frozen=True)
class ColourDigits(Trained):
    """Digits whose colour misleads: five methods, and the kernel's account of spectral decoupling (P21 section 4.3)."""

    command: ClassVar[str] = "colour-digits"
    less: ClassVar[dict[str, Any]] = {**QUICK, "choice_seeds": 0, "wide_examples": 100, "wide_width": 256}

    seeds: Count = 10
    """How many seeds, each with its images, colours, noise and networks."""
    choice_seeds: Annotated[int, whole(0)] = 3
    """For how many of them settings are also chosen on held-out training images; four times as long as the rest."""
    wide_examples: Annotated[int, whole(2)] = 500
    """Images on which a network of width 1,024 in the NTK parameterisation follows the kernel."""
    quick: bool = False
    """A first look: one seed, 400 of scikit-learn's digits, a fifth of the steps."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._colour_tables import table_colour_digits
        from gsdyn.experiments.colour_digits import colour_digits
        from gsdyn.plotting.colour_digits import draw_colour_digits

        return (Part(colour_digits, draw_colour_digits, self.settings(), self.kept(), table_colour_digits, FOLDER),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        lines = [_data(ds)]
        for run in ds["run"].values:
            part = ds["result"].sel(run=run)
            train, test = (_percent(part.sel(choice="authors", row=f"{name}, all")) for name in ("train", "test"))
            best = _percent(part.sel(choice="best step on test images", row="test, all"))
            lines.append(f"{run}: train {train}, test {test}; at the best step on test images {best}")
        flow = ds["flow"].sel(kernel_row="test, all")
        end = _percent(ds["end"].sel(kernel_row="test, all"))
        lines.append(f"SD by the kernel flow: test {_percent(flow.max('time'))} at its peak, {end} at its end")
        later = ds["step"] > ds.attrs["switch_step"]
        trained = ds["accuracy"].sel(run="SD", row="test, all").mean("seed")
        predicted = ds["predicted"].sel(kernel_row="test, all").mean("seed")
        off = float(abs(trained - predicted).where(later).max())
        lines.append(f"after the switch the mean test accuracy lies within {100 * off:.1f} points of the kernel's")
        return [*lines, *_wide(ds)]


@dataclasses.dataclass(frozen=True)
class ColourProbe(Trained):
    """What networks of coloured digits make of gray digits and of blanks (P21 section 4.3)."""

    command: ClassVar[str] = "colour-probe"
    less: ClassVar[dict[str, Any]] = QUICK

    seeds: Count = 10
    """How many seeds, those of colour-digits, whose kept networks are used."""
    quick: bool = False
    """A first look: one seed, 400 of scikit-learn's digits, a fifth of the steps."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._colour_tables import table_colour_probe
        from gsdyn.experiments.colour_probe import colour_probe
        from gsdyn.plotting.colour_probe import draw_colour_probe

        return (Part(colour_probe, draw_colour_probe, self.settings(), self.kept(), table_colour_probe, FOLDER),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        lines = [_data(ds)]
        for run in ds["run"].values:
            mean = ds.sel(run=run).mean("seed")
            told = (
                f"{v} {float(p['accuracy']):.3f} ({float(p['entropy']):.2f})"
                for v in ds["variant"].values
                for p in [mean.sel(variant=v)]
            )
            lines.append(f"{run}, accuracy (entropy): {', '.join(told)}")
        return lines


def _wide(ds: xr.Dataset) -> list[str]:
    """How far the wide networks are from their kernels, in points."""
    apart = 100 * abs(ds["wide_network"] - ds["wide_flow"]).sel(kernel_row="test, all").max("wide_time")
    return [
        f"{ds.attrs['wide']}, weights {float(scale):g} times the kernel's: test accuracy along the whole path within "
        f"{float(apart.sel(scale=scale, kernel='infinite width')):.1f} points of the flow at infinite width, "
        f"{float(apart.sel(scale=scale, kernel='at the start')):.1f} of that of the network's NTK at the start"
        for scale in ds["scale"]
    ]


def _data(ds: xr.Dataset) -> str:
    count = ds.sizes["seed"]
    return f"on {ds.attrs['data']}; {'one seed' if count == 1 else f'mean over {count} seeds'}"


def _percent(values: xr.DataArray) -> str:
    """The mean over seeds, and their standard deviation where there are several."""
    spread = f" +- {100 * float(values.std('seed', ddof=1)):.1f}" if values.sizes["seed"] > 1 else ""
    return f"{100 * float(values.mean('seed')):.1f}{spread}"
