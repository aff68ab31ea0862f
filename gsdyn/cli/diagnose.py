"""`gsdyn diagnose`: the starvation report on data and network of one's own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from gsdyn._options import Allowed, Count, Present, Seed, Words, whole
from gsdyn._outputs import Outputs
from gsdyn.cli._console import progress, start_jax

if TYPE_CHECKING:
    from gsdyn.data import Examples
    from gsdyn.diagnosis import Report

Target = Annotated[Path, Allowed("a file ending in .html, .json or .zarr", lambda path: path.suffix in SUFFIXES)]
Side = Annotated[int, whole(1, 4096)]
SUFFIXES = (".html", ".json", ".zarr")
FOUND = 3
"""The exit code where the verdict is what `--fail-on` names."""
DEMO = (600, 600)
"""Digits in colour of the demonstration: to learn from, and new ones."""


class _Given(NamedTuple):
    train: Examples
    test: Examples | None


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Which features your network learns from your data, which starve which, and whether one of them is a shortcut.

    Before any training, from the network's neural tangent kernel. Prints the verdict and writes the report. The exit
    code is 3 where the verdict is what --fail-on names, 2 with one line on stderr for bad input.
    """

    data: Annotated[tyro.conf.Positional[Present | None], tyro.conf.arg(metavar="DATA")] = None
    """A table (csv, tsv or parquet, columns by name), an npz archive (array x, others by name), or a folder of images
    with a table metadata.csv. With a column split, rows of train are learnt from and those of test tested on."""
    demo: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Scikit-learn's digits in colours that agree with noisy labels more often than the shapes do, in place of data."""
    label: Words = "y"
    """The column, or array, with the labels: 0 and 1, booleans, words."""
    attributes: str = ""
    """Columns, a,b,c, with what the network should not go by, such as colour or hospital."""
    inputs: str = ""
    """Columns, a,b,c, of a table that are inputs; by default all but label and attributes. One array of an archive."""
    test: Present | None = None
    """New examples, a file like the data."""
    features: Present | None = None
    """Embeddings in place of inputs: a npy file, a row for each example of the data."""
    features_test: Present | None = None
    """The same for the new examples."""
    kernel: Present | None = None
    """A kernel made elsewhere in place of inputs: a npy file with a row and a column for each example."""
    kernel_test: Present | None = None
    """The kernel between the new examples (rows) and those of the data (columns)."""
    network: Words | None = None
    """relu:3 (layers) or relu:3:1024 (width in training, else 512), erf:2, conv:2:64, conv-pool:2:64, linear, rbf,
    rbf:2.5 and so on; by default relu:3, and linear for embeddings."""
    positive: Words | None = None
    """Of several classes, the one that is learnt against the rest; by default every class in turn."""
    image_size: tuple[Side, Side] | None = None
    """Height and width that images are resized to."""
    out: tuple[Target, ...] = (Path("report.html"),)
    """Where to write the report, by suffix: .html (one page), .json, .zarr; several may be given."""
    fail_on: Literal["shortcut"] | None = None
    """Exit with code 3 where the verdict is this, for use in tests."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the verdict with its numbers, how the data were read and the files written as JSON in place of words."""
    select: Literal["held-out", "test"] = "held-out"
    """On what the best time and penalty are chosen: on training examples held out, or on the test set."""
    lazy: bool = True
    """Whether to train a hundred examples for a short time, to say where the theory stops describing the network."""
    train: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also train the network with the plain and the suggested setting, measured beside predicted."""
    leading: Count = 20
    """How many of the strongest features to tell."""
    examples: Annotated[int, whole(20)] = 10_000
    """Of more examples so many are drawn, the same share of every group."""
    seed: Seed = 0
    """Seed of what is drawn."""
    keep: Path | None = None
    """A folder that keeps finished stages, so that the same command goes on after an interruption."""

    def run(self) -> int:
        self._check()
        with Outputs() as outputs:
            for name, place in (*(("out", path.parent) for path in self.out), ("keep", self.keep)):
                if place is not None:
                    outputs.folder(name, place)
            staged = [outputs.path(path) for path in self.out]
            start_jax()
            try:
                with progress() as report_progress:
                    report = self._report(report_progress)
            except KeyboardInterrupt:
                if self.keep is None:
                    raise
                raise KeyboardInterrupt(f"interrupted: the same command goes on from what is in {self.keep}") from None
            for path in staged:
                report.save(path)
        _tell(report, outputs.targets, self.json)
        return FOUND if report.verdict.kind == self.fail_on else 0

    def _check(self) -> None:
        """What can be said before anything is loaded."""
        if len(set(self.out)) != max(1, len(self.out)):
            raise ValueError(f"--out must name files, each once, got {', '.join(map(str, self.out)) or 'none'}")
        if self.demo == (self.data is not None):
            given = "both" if self.demo else "neither"
            raise ValueError(f"data must be a file or folder, or --demo in its place, got {given}")
        if self.demo and (self.test or self.features or self.kernel):
            raise ValueError("--test, --features and --kernel must be left out with --demo, got one of them")
        for name in ("features", "kernel"):
            if getattr(self, f"{name}_test") is not None and getattr(self, name) is None:
                raise ValueError(f"--{name}-test must come with --{name}, got it alone")
            if self.test is not None and getattr(self, name) is not None and getattr(self, f"{name}_test") is None:
                raise ValueError(f"--test must come with --{name}-test where --{name} is given, got it alone")
        if self.kernel is not None and self.network is not None:
            raise ValueError("--network must be left out with --kernel, got both")
        if self.kernel is not None and self.train:
            raise ValueError("--train must be left out with --kernel, which has no network to train, got both")

    def _report(self, report_progress: Any) -> Report:
        import gsdyn as gs
        from gsdyn.networks import named, takes_images

        given = _demo(self.seed) if self.demo else self._read(report_progress)
        text = self.network or ("linear" if self.features is not None else "relu:3")
        network = None if self.kernel is not None else named(text, given.train.flat)
        train, test = (_fitted(part, network, takes_images(text)) for part in given)
        shared: dict[str, Any] = {
            "attributes": given.train.attributes,
            "test": test,
            "network": network,
            "positive": self.positive,
        }
        report = gs.diagnose(
            train.x,
            train.labels,
            **shared,
            kernel=train.kernel,
            columns=train.columns,
            notes=(train.source, *train.notes, *(test.notes if test is not None else ())),
            features=self.leading,
            examples=self.examples,
            select=self.select,
            seed=self.seed,
            progress=report_progress,
            out=self.keep,
        )
        if not (self.lazy or self.train):
            return report
        return gs.diagnosis.measured(
            report,
            train.x,
            train.labels,
            **shared,
            lazy=self.lazy,
            train=self.train,
            seed=self.seed,
            progress=report_progress,
        )

    def _read(self, report_progress: Any) -> _Given:
        from gsdyn.data import parts_of, read_examples

        assert self.data is not None
        options: dict[str, Any] = {
            "label": self.label,
            "attributes": _names(self.attributes),
            "inputs": _names(self.inputs) or None,
            "image_size": self.image_size,
            "progress": report_progress,
        }
        beside: dict[str, Any] = {"features": self.features, "kernel": self.kernel}
        parts = () if self.test is not None else parts_of(self.data)
        split = "train" if "train" in parts else None
        train = read_examples(self.data, **options, **beside, split=split)
        if self.test is not None:
            beside = {"features": self.features_test, "kernel": self.kernel_test}
            return _Given(train, read_examples(self.test, **options, **beside, like=train))
        if split is None or "test" not in parts:
            return _Given(train, None)
        return _Given(train, read_examples(self.data, **options, **beside, split="test", like=train))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _fitted(part: Any, network: Any, images: bool) -> Any:
    """Examples with inputs in the shape that the network takes: images with an axis of channels, or rows."""
    from gsdyn.networks import FullyConnected

    if part is None or part.x is None or (part.x.ndim == 2 and not images):
        return part
    x = part.x
    if images:
        if x.ndim not in (3, 4):
            raise ValueError(f"network must be one of rows, such as relu:3, for inputs of shape {x.shape[1:]}")
        x = x[..., None] if x.ndim == 3 else x
    elif not isinstance(network, FullyConnected):  # which keeps the shape of images for their pictures
        x = part.flat
    return dataclasses.replace(part, x=x)


def _demo(seed: int) -> _Given:
    """Digits in red or green: the label is whether the digit is below 5, a quarter of the labels is wrong."""
    import numpy as np

    from gsdyn.data import Examples, colour_digits, digits, read_labels

    parts = []
    for name, data in zip(("training", "new"), colour_digits(*DEMO, source=digits(), seed=seed), strict=True):
        x = np.moveaxis(np.asarray(data.x).reshape(-1, 2, 8, 8), 1, -1)
        labels = read_labels(np.where(np.asarray(data.y) > 0, "0 to 4", "5 to 9"), name="digit")
        colour = np.where(np.asarray(data.colour) > 0, "green", "red")
        source = f"scikit-learn's digits in red and green, {len(x)} {name} ones"
        parts.append(Examples(x, labels, {"colour": colour}, image_shape=(8, 8, 2), source=source))
    return _Given(*parts)


def _tell(report: Report, written: list[Path], as_json: bool) -> None:
    from rich.console import Console

    notes = json.loads(report.dataset.attrs["notes"])
    if as_json:
        told = {"verdict": report.verdict.as_dict(), "notes": notes, "files": [str(path) for path in written]}
        print(json.dumps(told, indent=1, allow_nan=False))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]Verdict: {report.verdict.kind}.[/bold]")
    for sentence in report.verdict.sentences:
        console.print(f"- {sentence}", markup=False)
    console.print(f"Read as: {'; '.join(notes)}.", markup=False, style="dim")
    for path in written:
        print(path)
