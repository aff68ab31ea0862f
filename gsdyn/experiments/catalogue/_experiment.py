"""What every experiment of the catalogue shares: it computes a dataset or two, draws each, and says what they show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from gsdyn._progress import Progress, silent

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
RESULTS = Path("results")
FIGURES = RESULTS / "figures"


class Table(NamedTuple):
    """Numbers to read: names of the columns, and rows of words and numbers; NaN is a number that there is not.

    >>> table = gs.experiments.catalogue.Table(("method", "test"), [("ERM", 0.28), ("SD", 0.6)])
    >>> print(table.rows[1])
    ('SD', 0.6)
    """

    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]]


class Part(NamedTuple):
    """A dataset of an experiment, its figure, and the numbers to read where there are some.

    - `compute`: its name is also that of the files. `draw`: of the dataset.
    - `settings`: its arguments. `places`: those that change nothing in the result, where to keep finished parts of it.
    - `table`: of the dataset. `kept`: the folder of finished parts below `runs`, by default that of `compute`'s name.

        >>> (part,) = gs.experiments.catalogue.Legendre().parts()
        >>> print(part.compute.__name__, part.settings)
        legendre {'lines': 6}
    """

    compute: Callable[..., xr.Dataset]
    draw: Callable[[xr.Dataset], Figure]
    settings: dict[str, Any]
    places: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's default, which nobody changes
    table: Callable[[xr.Dataset], Table] | None = None
    kept: str = ""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment: a subclass has its options as fields, each with its default, and a line on what it shows.

    >>> print([kind.command for kind in gs.experiments.catalogue.EXPERIMENTS][:3])
    ['phase-plane', 'depth', 'hinge']
    """

    command: ClassVar[str]
    """What the command line calls it."""

    figures: Path = FIGURES
    """Folder for the figures."""
    results: Path = RESULTS
    """Folder for the data, one Zarr store per experiment, and its table."""

    def parts(self) -> tuple[Part, ...]:
        """What is computed and drawn, in order. Nothing heavy is imported before this is called."""
        raise NotImplementedError

    def tell(self, *datasets: xr.Dataset) -> list[str]:
        """What the numbers say, in a few lines."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """Its own fields, without those of every experiment."""
        shared = {field.name for field in dataclasses.fields(Experiment)}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in shared}

    def folders(self) -> tuple[Path, Path]:
        """Where figures and data go."""
        return self.figures, self.results

    def perform(self, progress: Progress = silent) -> list[str]:
        """Compute, draw and write everything; returns what the numbers say, and the paths of what was written."""
        from gsdyn._files import as_path
        from gsdyn._outputs import Outputs
        from gsdyn._provenance import provenance
        from gsdyn.experiments._datasets import save_dataset
        from gsdyn.experiments._tables import save_table
        from gsdyn.plotting import save

        datasets = []
        parts: tuple[Part, ...] = ()
        try:
            with Outputs() as outputs:
                places = zip(("figures", "results"), self.folders(), strict=True)
                figures, results = (outputs.folder(name, place) for name, place in places)
                parts = self.parts()
                for part in parts:
                    dataset = part.compute(**part.settings, **part.places, progress=progress)
                    dataset.attrs.update(provenance(part.settings))
                    name = part.compute.__name__
                    save_dataset(dataset, outputs.path(results / f"{name}.zarr"))
                    figure = part.draw(dataset)
                    for suffix in FORMATS:
                        save(figure, outputs.path(figures / f"{name}{suffix}"))
                    if part.table is not None:
                        for suffix in (".csv", ".md"):
                            save_table(part.table(dataset), outputs.path(results / f"{name}{suffix}"))
                    datasets.append(dataset)
        except KeyboardInterrupt:
            below = [(p.places["runs"], p.kept or p.compute.__name__) for p in parts if "runs" in p.places]
            kept = [as_path("runs", runs) / name for runs, name in below]
            raise KeyboardInterrupt(_interrupted(kept)) from None
        return [*self.tell(*datasets), *map(str, outputs.targets)]


@dataclasses.dataclass(frozen=True)
class Quick(Experiment):
    """An experiment with a quick look, which overwrites no full run."""

    quick: bool = False
    """A first look."""

    less: ClassVar[dict[str, Any]] = {}
    """The arguments of a quick look, whatever is asked for."""

    def settings(self) -> dict[str, Any]:
        """The arguments of the experiment."""
        given = {name: value for name, value in self.options().items() if name != "quick"}
        return given | (self.less if self.quick else {})

    def folders(self) -> tuple[Path, Path]:
        quick = RESULTS / "quick" if self.quick else RESULTS
        figures = quick / FIGURES.name if self.figures == FIGURES else self.figures
        return figures, quick if self.results == RESULTS else self.results


@dataclasses.dataclass(frozen=True)
class Trained(Quick):
    """An experiment that trains for long and keeps finished networks."""

    def kept(self) -> dict[str, Any]:
        """Where finished networks are kept; those of a quick look have a folder that a full run does not meet."""
        return {"runs": self.folders()[1] / ("runs_quick" if self.quick else "runs")}


def spread(values: xr.DataArray) -> str:
    """The mean over seeds, and the standard deviation of the sample that they are where there are several."""
    known = values.dropna("seed")
    several = f" +- {float(known.std('seed', ddof=1)):.3f}" if known.sizes["seed"] > 1 else ""
    return f"{float(known.mean('seed')):.3f}{several}"


def _interrupted(kept: list[Path]) -> str:
    count = sum(1 for folder in kept for file in folder.glob("*.npz"))
    if not count:
        return "interrupted, nothing was written"
    return f"interrupted; {count} files of networks are kept in {kept[0]}: the same command goes on there"
