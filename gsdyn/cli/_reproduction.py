"""What the commands of `gsdyn reproduce` share."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gsdyn.cli._console import progress, use_float64

if TYPE_CHECKING:
    import xarray as xr

FORMATS = (".png", ".svg")


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What every experiment here shares: it computes a dataset or two, and draws a figure of each."""

    experiments: ClassVar[tuple[str, ...]]
    """Modules of `gsdyn.experiments` and of `gsdyn.plotting`, whose functions have their names."""

    figures: Path = Path("figures")
    """Folder for the figures."""
    results: Path = Path("results")
    """Folder for the data, one Zarr store per experiment."""

    def settings(self, name: str) -> dict[str, Any]:
        """The arguments of one experiment: by default all options but those of every reproduction."""
        shared = {field.name for field in dataclasses.fields(Reproduction)}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in shared}

    def places(self, name: str) -> dict[str, Any]:
        """Arguments of one experiment that change nothing in its result: where to keep finished parts of it."""
        return {}

    def tell(self, datasets: dict[str, xr.Dataset]) -> list[str]:
        """What the numbers say, in a few lines."""
        raise NotImplementedError

    def run(self) -> int:
        use_float64()
        from gsdyn.experiments import Outputs, provenance, save_dataset
        from gsdyn.plotting import save

        datasets = {}
        with Outputs() as outputs, progress() as report:
            for name in self.experiments:
                settings = self.settings(name)
                dataset = _function(f"gsdyn.experiments.{name}", name)(**settings, **self.places(name), progress=report)
                dataset.attrs.update(provenance(settings))
                save_dataset(dataset, outputs.path(self.results / f"{name}.zarr"))
                figure = _function(f"gsdyn.plotting.{name}", f"draw_{name}")(dataset)
                for suffix in FORMATS:
                    save(figure, outputs.path(self.figures / f"{name}{suffix}"))
                datasets[name] = dataset
        for line in self.tell(datasets):
            print(line)
        for path in outputs.targets:
            print(path)
        return 0


def _function(module: str, name: str) -> Callable[..., Any]:
    return getattr(importlib.import_module(module), name)
