"""Experiments of later papers that check the theory from outside (THEORY section 12)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from gsdyn._options import Count, Positive, whole
from gsdyn.experiments.catalogue._experiment import Part, Quick, spread

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class Perception(Quick):
    """A shortcut beside the label itself: the phase transition of spectral decoupling at d = n (Puli et al. 2023)."""

    command: ClassVar[str] = "perception"
    less: ClassVar[dict[str, Any]] = {"seeds": 2, "n": 200}

    seeds: Count = 5
    """How many seeds."""
    n: Annotated[int, whole(20)] = 1000
    """How many examples to train on."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._later_tables import table_perception
        from gsdyn.experiments.perception import perception
        from gsdyn.plotting.perception import draw_perception

        return (Part(perception, draw_perception, self.settings(), table=table_perception),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        lines = [
            f"spectral decoupling, d/n = {float(r):g}: worst group {spread(ds['optimum'].sel(ratio=r))} at the optimum"
            for r in ds["ratio"]
        ]
        published = zip(ds["loss"].values, ds.attrs["published_ratio"], ds.attrs["published"], strict=True)
        for loss, ratio, value in published:
            part = ds.sel(loss=loss, problem=ratio)
            lines.append(
                f"{loss}, d/n = {ratio:g}: worst group {spread(part['separated'])} when all training examples are "
                f"right, {spread(part['path'].isel(time=-1))} at t = {float(ds['time'][-1]):g}; published {value:.3f}"
            )
        return [
            *lines,
            f"the library's optimum lies within {float(ds['library_error'].max()):.1e} of the closed form",
            f"gradient descent lies within {float(ds['descent_error'].max()):.3f} of the flow",
        ]


@dataclasses.dataclass(frozen=True)
class SlabData(Quick):
    """Coordinates that all tell the class: networks and kernels use the linear one alone (Shah et al. 2020)."""

    command: ClassVar[str] = "slabs"
    less: ClassVar[dict[str, Any]] = {"seeds": 1, "n": 300, "steps": 200}

    seeds: Count = 3
    """How many seeds, each with its data and start."""
    n: Annotated[int, whole(100)] = 1000
    """How many examples to train on."""
    steps: Count = 500
    """Steps of training."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._later_tables import table_slabs
        from gsdyn.experiments.slabs import slabs
        from gsdyn.plotting.slabs import draw_slabs

        return (Part(slabs, draw_slabs, self.settings(), table=table_slabs),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        return [
            f"{int(kind)} slabs, {model}: AUC "
            + ", ".join(
                f"{spread(part['auc'].sel(variant=variant))} {variant} (published {value:g})"
                for variant, value in zip(ds["variant"].values, ds.attrs["published"], strict=True)
            )
            for kind in ds["slabs"].values
            for model in ds["model"].values
            for part in [ds.sel(slabs=kind, model=model)]
        ]


@dataclasses.dataclass(frozen=True)
class GeometricSkew(Quick):
    """The widest margin of real data leans on a coordinate that few examples contradict (Nagarajan et al. 2021)."""

    command: ClassVar[str] = "geometric-skew"
    less: ClassVar[dict[str, Any]] = {"seeds": 2}

    seeds: Count = 10
    """How many draws of the minority."""
    strength: Positive = 1.0
    """Size of the spurious coordinate."""

    def parts(self) -> tuple[Part, ...]:
        from gsdyn.experiments._later_tables import table_geometric_skew
        from gsdyn.experiments.geometric_skew import geometric_skew
        from gsdyn.plotting.geometric_skew import draw_geometric_skew

        return (Part(geometric_skew, draw_geometric_skew, self.settings(), table=table_geometric_skew),)

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        (ds,) = datasets
        few, many = float(ds["minority"][-1]), float(ds["minority"][0])
        balanced, skewed = ds.attrs["published"]
        return [
            f"{name}: share of the weight {spread(part.sel(minority=many))} with a minority of {many:g}, "
            f"{spread(part.sel(minority=few))} with {few:g} (published on another table {balanced:g}, {skewed:g})"
            for name in ds["data"].values
            for part in [ds["share"].sel(data=name)]
        ]
