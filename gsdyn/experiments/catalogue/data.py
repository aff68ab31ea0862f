"""The experiments of both papers on images: brightness (C18), the worst group and margins in input space (P21)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from gsdyn._options import Count, Nonnegative, Positive, Present, Words, whole
from gsdyn.experiments.catalogue._experiment import Part, Trained, spread

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class Brightness(Trained):
    """One class dark and one bright in training, untouched images at test, and shifts of every size (C18 section 4)."""

    command: ClassVar[str] = "brightness"
    less: ClassVar[dict[str, Any]] = {
        "seeds": 1, "steps": 200, "train": 300, "test": 300, "shifts": (0.0, 1 / 16, 1 / 4, 1.0)
    }  # fmt: skip

    seeds: Count = 3
    """How many seeds, each with its images and networks."""
    steps: Count = 2000
    """Steps of training, 64 images each."""
    train: Annotated[int, whole(64)] = 2000
    """How many images to train on."""
    test: Annotated[int, whole(2)] = 1000
    """How many new images."""
    folder: Present | None = None
    """A folder of yours with cats and dogs; without one, MNIST's digits below 5 against the others."""
    leave_out: tuple[Words, ...] = ()
    """Files of that folder that are not to be read, such as Cat/666.jpg."""
    pixels: Count = 64
    """The side to which its images are scaled."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._data_tables import table_brightness
        from gsdyn.experiments.brightness import brightness
        from gsdyn.plotting.brightness import draw_brightness

        return (Part(brightness, draw_brightness, self.settings(), self.kept(), table_brightness),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        full = ds.isel(shift=-1)
        lines = [_on(ds)]
        for model in ds["model"].values:
            for dark in ds["dark"].values:
                part = full.sel(model=model, dark=dark)
                sets = ", ".join(f"{name} {spread(part['accuracy'].sel(set=name))}" for name in ds["set"].values)
                lines.append(
                    f"{model}, class {int(dark):+d} dark: {sets}; {float(part['called_dark'].mean()):.3f} of the "
                    "untouched are taken for the dark class"
                )
        untouched = ds["accuracy"].sel(set="untouched test").mean("seed")
        off = abs(untouched.isel(model=-1) - untouched.isel(model=-2)).max()
        return [*lines, f"the kernel lies within {float(off):.3f} of the dense net by SGD at every shift"]


@dataclasses.dataclass(frozen=True)
class CelebA(Trained):
    """The worst group, of a class that goes with an attribute but for few examples: six methods (P21 section 4.4)."""

    command: ClassVar[str] = "celeba"
    less: ClassVar[dict[str, Any]] = {"seeds": 1, "steps": 200, "train": 1000}

    seeds: Count = 5
    """How many seeds, each with its networks, and with its data where they are digits."""
    steps: Annotated[int, whole(20)] = 1000
    """Steps of Adam, 128 examples each."""
    train: Annotated[int, whole(128)] = 2000
    """How many digits to train on."""
    rate: Positive = 1e-3
    """Adam's learning rate."""
    source: Literal["digits", "celeba", "waterbirds", "embeddings"] = "digits"
    """MNIST's digits in two colours, or of a folder of yours: celeba, waterbirds or embeddings."""
    folder: Present | None = None
    """That folder."""
    at_most: Count | None = None
    """How many examples of each of its splits are taken."""
    pixels: Annotated[int, whole(16)] = 64
    """The side to which its photographs are scaled."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._data_tables import table_celeba
        from gsdyn.experiments.celeba import celeba
        from gsdyn.plotting.celeba import draw_celeba

        return (Part(celeba, draw_celeba, self.settings(), self.kept(), table_celeba),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        lines = [_on(ds)]
        for method in ds["run"].values:
            last, by_average, by_worst, best = (ds.sel(run=method, choice=choice) for choice in ds["choice"].values)
            lines.append(
                f"{method}, at the last step: average {spread(last['average'])}, worst group {spread(last['worst'])} "
                f"(Wilson {float(last['worst_low'].mean()):.3f} to {float(last['worst_high'].mean()):.3f}); where the "
                f"average on validation images is best, worst group {spread(by_average['worst'])}, where the worst "
                f"group is {spread(by_worst['worst'])}; at the best step on test images {spread(best['worst'])}"
            )
        return lines


@dataclasses.dataclass(frozen=True)
class Margin(Trained):
    """The least perturbation that changes a decision: ERM and spectral decoupling, four attacks (P21 section 4.2)."""

    command: ClassVar[str] = "margin"
    less: ClassVar[dict[str, Any]] = {
        "seeds": 1, "steps": 300, "coefficients": (0.0, 0.1), "examples": 20, "boundary_steps": 100
    }  # fmt: skip

    seeds: Count = 3
    """How many seeds, each with its networks, and with its images where they are digits."""
    steps: Count = 3000
    """Steps of SGD, 64 images each."""
    coefficients: tuple[Nonnegative, ...] = (0.0, 0.001, 0.01, 0.1, 1.0)
    """Weights of spectral decoupling; 0 is ERM."""
    examples: Annotated[int, whole(2)] = 100
    """How many test images are attacked."""
    boundary_steps: Count = 2000
    """Steps of foolbox's Boundary, which sees decisions alone."""
    foolbox: bool = True
    """Whether DeepFool and Boundary attack too, through foolbox (extra `attacks`)."""
    folder: Present | None = None
    """A folder of yours with CIFAR-10, classes 0 and 7; without one, MNIST's digits 3 and 8."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._data_tables import table_margin
        from gsdyn.experiments.margin import margin
        from gsdyn.plotting.margin import draw_margin

        return (Part(margin, draw_margin, self.settings(), self.kept(), table_margin),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        lines = [_on(ds)]
        for coefficient in ds["coefficient"].values:
            part = ds.sel(coefficient=coefficient)
            median = part["distance"].min("attack").where(part["right"], 0).median("example")
            ratio = part["ratio"].mean("seed")
            needed = ", ".join(f"{name} {float(ratio.sel(attack=name)):.2f}" for name in ds["attack"].values)
            lines.append(
                f"coefficient {float(coefficient):g}: test {spread(part['accuracy'])}, median perturbation in L2 "
                f"{spread(median)}; over the least of all attacks: {needed}; gradients masked "
                f"{float(part['masked'].mean()):.2f}"
            )
        return lines


def _on(dataset: xr.Dataset) -> str:
    return f"on {dataset.attrs['data']}; mean over {dataset.sizes['seed']} seeds"
