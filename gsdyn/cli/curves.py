"""`gsdyn curves`: starvation curves and their figures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gsdyn._options import OVERLAP, POSITIVE, Count, Nonnegative, Overlap, Positive, whole
from gsdyn._outputs import Outputs
from gsdyn.cli._console import progress, start_jax
from gsdyn.cli._grid import Grid, grid, parse_grid
from gsdyn.experiments.catalogue import FIGURES, FORMATS, RESULTS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from gsdyn.experiments import Progress

LAM, DELTA = parse_grid("1e-4:10:200", "log"), parse_grid("0:0.99:100", "lin")
DIGITS_LAM = parse_grid("1e-3:10:13", "log")
IMAGES, CELLS = 1797, 10**7


@dataclasses.dataclass(frozen=True)
class Curves:
    """Starvation curves of the two-feature model and of the digits' leading features.

    Responses and the starvation derivative d z_2*/d(s_1^2) over (lambda, delta), by the exact fixed point, both
    first-order approximations and the integrated flow; the same for scikit-learn's digits. Writes figures and data.
    """

    lam: Annotated[Grid, POSITIVE, grid("log")] = LAM
    """Regularisation strengths: a range first:last:count (logarithmic; append :lin for even steps), or a list a,b,c."""
    delta: Annotated[Grid, OVERLAP, grid("lin")] = DELTA
    """Overlaps of the two features, in [0, 1): a range (even steps; append :log) or a list."""
    s1: Positive = 4.0
    """Strength of feature 1."""
    s2: Positive = 2.0
    """Strength of feature 2."""
    at_lam: Positive | None = None
    """Where the curves against delta are cut; default 0.1, or the one value of --lam."""
    at_delta: Overlap | None = None
    """Where the curves against lambda are cut; default 0.3, or the one value of --delta."""
    loss: Literal["cross-entropy", "first-order", "squared-error", "hinge"] = "cross-entropy"
    """The loss; first-order is cross-entropy as in Eq. 10."""
    penalty: Literal["weight-decay", "spectral-decoupling", "mixed"] = "weight-decay"
    """The penalty; mixed is weight decay lambda with spectral decoupling --lam2."""
    lam2: Nonnegative = 0.1
    """Spectral decoupling within --penalty mixed."""
    integrated: Annotated[int, whole(0)] = 12
    """How many values along each axis the flow is integrated at; 0 for none."""
    digits: bool = True
    """Whether to do the digits too."""
    digits_lam: Annotated[Grid, POSITIVE, grid("log")] = DIGITS_LAM
    """Regularisation strengths for the digits."""
    digits_depth: Count = 3
    """Layers of the ReLU network whose kernel sees the digits."""
    digits_features: Count = 8
    """How many of the strongest features to follow."""
    digits_images: Annotated[int, whole(2, IMAGES)] = IMAGES
    """How many of the images to use."""
    figures: Path = FIGURES
    """Folder for the figures."""
    results: Path = RESULTS
    """Folder for the data, one Zarr store per experiment."""

    def run(self) -> int:
        self._check()
        with Outputs() as outputs, progress() as report:
            for name in ("figures", "results"):
                outputs.folder(name, getattr(self, name))
            start_jax()
            from gsdyn import plotting

            model = self._two_features(report)
            self._store(outputs, model, "starvation_curves")
            if max(model.sizes["lam"], model.sizes["delta"]) > 1:
                self._draw(outputs, plotting.draw_curves, model, "starvation_curves")
            if min(model.sizes["lam"], model.sizes["delta"]) > 1:
                self._draw(outputs, plotting.draw_map, model, "starvation_map")
            if self.digits:
                real = self._digits(report)
                self._store(outputs, real, "digits_curves")
                self._draw(outputs, plotting.draw_responses, real, "digits_responses")
                self._draw(outputs, plotting.draw_matrices, real, "digits_starvation")
        _tell(model, "two features")
        if self.digits:
            _tell(real, "digits")
        for path in outputs.targets:
            print(path)
        return 0

    def _check(self) -> None:
        """What options must be together."""
        if (cells := len(self.lam.values) * len(self.delta.values)) > CELLS:
            raise ValueError(f"--lam and --delta must make at most {CELLS:,} cells, got {cells:,}")
        if self.digits and self.digits_features > self.digits_images:
            told = f"at most --digits-images, {self.digits_images}"
            raise ValueError(f"--digits-features must be {told}, got {self.digits_features}")

    def _two_features(self, report: Progress) -> xr.Dataset:
        import numpy as np

        from gsdyn.experiments.curves import starvation_curves

        return starvation_curves(
            np.asarray(self.lam.values),
            np.asarray(self.delta.values),
            s1=self.s1,
            s2=self.s2,
            loss=self._loss(),
            penalty=self._penalty(),
            at_lam=self.at_lam,
            at_delta=self.at_delta,
            integrated=self.integrated,
            progress=report,
        )

    def _digits(self, report: Progress) -> xr.Dataset:
        import numpy as np

        from gsdyn.experiments.digits_curves import PENALTIES, digits_curves

        mixed = {"mixed": self._penalty()} if self.penalty == "mixed" else {}
        return digits_curves(
            np.asarray(self.digits_lam.values),
            depth=self.digits_depth,
            features=self.digits_features,
            loss=self._loss(),
            penalties={**PENALTIES, **mixed},
            images=self.digits_images,
            progress=report,
        )

    def _loss(self) -> Any:
        from gsdyn import losses

        return {
            "cross-entropy": losses.CrossEntropy,
            "first-order": losses.FirstOrderCrossEntropy,
            "squared-error": losses.SquaredError,
            "hinge": losses.Hinge,
        }[self.loss]()

    def _penalty(self) -> Callable[..., Any]:
        from gsdyn import penalties

        return {
            "weight-decay": penalties.WeightDecay,
            "spectral-decoupling": penalties.SpectralDecoupling,
            "mixed": functools.partial(penalties.Mixed, lam2=self.lam2),
        }[self.penalty]

    def _store(self, outputs: Outputs, dataset: xr.Dataset, name: str) -> None:
        from gsdyn.experiments import provenance, save_dataset

        places = {"figures", "results"}  # where results lie is no part of how they came about
        names = [field.name for field in dataclasses.fields(self) if field.name not in places]
        given = {name: getattr(self, name) for name in names}
        plain = {name: str(value) if isinstance(value, Grid) else value for name, value in given.items()}
        dataset.attrs.update(provenance(plain))
        save_dataset(dataset, outputs.path(self.results / f"{name}.zarr"))

    def _draw(self, outputs: Outputs, draw: Callable[[xr.Dataset], Figure], dataset: xr.Dataset, name: str) -> None:
        from gsdyn.plotting import save

        figure = draw(dataset)
        for suffix in FORMATS:
            save(figure, outputs.path(self.figures / f"{name}{suffix}"))


def _tell(dataset: xr.Dataset, name: str) -> None:
    """One line on how far the numbers of an experiment can be trusted."""
    reached, bound = dataset["converged"], float(dataset["error_bound"].max())
    line = f"{name}: {int(reached.sum()):,} of {reached.size:,} fixed points converged, |alpha - alpha*| <= {bound:.1e}"
    if "ode_distance" in dataset:
        line += f"; integrated responses end within {float(dataset['ode_distance'].max()):.1e} of theirs"
    print(line)
