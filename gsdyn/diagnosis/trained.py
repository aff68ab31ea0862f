"""The real network trained with the plain and the suggested setting, measured beside predicted, group by group.

A network differs from the theory in two ways, which are told apart. Its kernel at the start is not that of infinite
width: `trained_start` is predicted by its own. And its kernel changes while it learns: with its outputs made `scale`
times as large, on a clock `scale^2` times as fast, the linearised network is the same and parameters move `scale` times
less, so that this difference goes away. What `trained` gives is in the schema (`gsdyn.diagnosis.report`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.diagnosis import _networks, _schema, _training, groups
from gsdyn.diagnosis import problem as problems
from gsdyn.diagnosis.attributes import RARE
from gsdyn.diagnosis.gram import at_start, gram
from gsdyn.diagnosis.groups import Groups
from gsdyn.diagnosis.report import Report

if TYPE_CHECKING:
    import xarray as xr

SEEDS = (0, 1, 2)
SCALES = (1.0, 30.0)


def trained(
    report: Report,
    x: Any,
    y: Any,
    *,
    attributes: Mapping[str, Any] | None = None,
    test: Any = None,
    network: Any = None,
    params: Any = None,
    positive: Any = None,
    seeds: Sequence[int] = SEEDS,
    scales: Sequence[float] = SCALES,
    progress: Progress = silent,
) -> xr.Dataset:
    """Trains the network with the plain and with the suggested setting, beside what is predicted.

    - `report`: what `gs.diagnose` made of these examples. The suggested setting is the one whose worst cell is
      predicted to be best on its deciding split.
    - `x`, `y`, `attributes`, `test`, `network`, `params`, `positive`: as they were given to `gs.diagnose`.
    - `seeds`: of the starts; a network that holds its parameters has the one.
    - `scales`: factors of the outputs, each > 0: 1 trains the network as it is; at 30 its parameters move 30 times less
      on the way to the same outputs, so that it is what the theory describes but for its kernel at the start.
    - `progress`: called with "training", the runs done and how many there are.

    Outputs are counted from those at the start, as in the theory; weight decay is towards the weights at the start.
    The loss is the sum over examples, so that time, step times number of steps, is the report's. Training is gradient
    descent in the limit of small steps: its flow is followed by Chebyshev's method, which takes some thirty times fewer
    gradients than gradient descent and agrees with it in the limit.

    Returns a dataset with the variables `trained_...` of the schema, and the finding as a sentence in
    `attrs["trained"]`. Raises `ValueError` for a kernel without a network, and for other examples than the report's.

        >>> found = gs.diagnosis.trained(report, x, y, network=net)  # doctest: +SKIP
    """
    _checks.instance("report", report, Report)
    a = report.dataset.attrs
    limit = int(a["n"]) if int(a["n"]) < int(a["n_given"]) else None
    problem = problems.read(x, y, attributes, test, None, positive=positive, limit=limit, seed=int(a["seed"]))
    if problem.n != int(a["n"]):
        raise ValueError(f"x must be the {a['n_given']} examples of the report, got {problem.given}")
    if not _networks.trainable(network, params):
        raise ValueError(f"network must be one that can be trained, got {_checks.in_short(network)}")
    seeds = [_checks.integer("seeds", seed, 0, 2**32 - 1) for seed in seeds]
    scales = [_checks.number("scales", scale, "finite and > 0", lambda v: 0 < v < np.inf) for scale in scales]
    if not seeds or not scales:
        raise ValueError(f"{'scales' if seeds else 'seeds'} must hold at least one number, got none")
    drawn = _networks.drawn(network, params)
    seeds = seeds if drawn else seeds[:1]
    found, kernels = groups.of(problem), gram(problem, network, params)
    chosen = {"plain": _training.plain(report.dataset), "suggested": _training.suggested(report.dataset)}

    def told(margins: Mapping[str, np.ndarray]) -> np.ndarray:
        return _accuracies(found, margins)

    predicted = [told(_training.predicted(problem, kernels, setting)) for setting in chosen.values()]
    nets = [_networks.network_of(network, params, problem.x, seed, problem.output) for seed in seeds]  # pyright: ignore
    training = _training.Runs(problem, nets[0])
    starts, measured = [], []
    total = len(seeds) * len(scales) * len(chosen)
    for net in nets:
        net = dataclasses.replace(nets[0], leaves=net.leaves)  # one function, so that nothing is compiled anew
        own = at_start(problem, net) if drawn else kernels
        starts.append([told(_training.predicted(problem, own, setting)) for setting in chosen.values()])
        runs = []
        for scale in scales:
            for setting in chosen.values():
                progress("training", len(measured) * total // len(seeds) + len(runs), total)
                runs.append(runs[-1] if setting.again else told(training.measured(net.leaves, setting, scale)))
        measured.append(np.array(runs).reshape(len(scales), len(chosen), *runs[0].shape))
    progress("training", total, total)
    numbers = {
        "trained_accuracy": np.moveaxis(np.array(measured), 2, 0),
        "trained_start": np.moveaxis(np.array(starts), 1, 0),
        "trained_predicted": np.array(predicted),
    }
    return _dataset(report.dataset, found, chosen, numbers, {"trained_seed": seeds, "trained_scale": scales})


def _accuracies(found: Groups, margins: Mapping[str, np.ndarray]) -> np.ndarray:
    """The accuracy of every group at every time, (split, g, t)."""
    return np.stack([groups.metrics(found, split, part)["accuracy"] for split, part in margins.items()])


def _dataset(
    report: xr.Dataset,
    found: Groups,
    chosen: Mapping[str, _training.Setting],
    numbers: dict[str, np.ndarray],
    coordinates: Mapping[str, Any],
) -> xr.Dataset:
    import xarray as xr

    mean = numbers["trained_accuracy"].mean(axis=1)  # (setting, scale, split, group, record)
    values = {
        **numbers,
        "trained_time": np.array([setting.ts for setting in chosen.values()]),
        "trained_since": np.array([setting.since for setting in chosen.values()]),
        "trained_apart": np.abs(mean - numbers["trained_predicted"][:, None]).max(axis=-1),
        "trained_start_apart": np.abs(mean - numbers["trained_start"].mean(axis=1)[:, None]).max(axis=-1),
        "trained_words": np.array([setting.words for setting in chosen.values()], str),
    }
    dataset = xr.Dataset(
        {name: _schema.variable(name, value) for name, value in values.items()},
        coords=_schema.coordinates(
            {
                **coordinates,
                "trained_setting": np.array(list(chosen)),
                "trained_split": np.array(["train", "test"][: mean.shape[2]]),
            }
        ),
    ).assign_coords(group=report["group"])
    counts = {str(split): found.count(str(split)) for split in dataset["trained_split"].values}
    return dataset.assign_attrs(trained=_sentence(dataset, found, counts, chosen["suggested"].again))


def _sentence(dataset: xr.Dataset, found: Groups, counts: Mapping[str, np.ndarray], again: bool) -> str:
    """The worst cell at the end, and how far groups are from what was predicted."""
    split = str(dataset["trained_split"].values[-1])
    cells = [i for i, g in enumerate(found.all) if g.kind == "cell" and counts[split][i] >= RARE]
    worst, at = (f"the worst cell of {RARE} or more", cells) if cells else ("all", list(found.where("all")))
    smallest = min(count[count > 0].min() for count in counts.values())
    end = dataset.sel(trained_split=split).isel(trained_record=-1, group=at)
    ends = end["trained_accuracy"].mean("trained_seed").isel(trained_scale=0).min("group").values
    told = end["trained_predicted"].min("group").values
    words, count = dataset["trained_words"].values, dataset.sizes["trained_seed"]
    lines = [
        f"Trained ({count} seed{'s' if count > 1 else ''}): {words[0]}, accuracy on {worst} {split} examples ends at "
        f"{ends[0]:.0%} (predicted {told[0]:.0%}); {words[1]}"
        + ("." if again else f", at {ends[1]:.0%} (predicted {told[1]:.0%}).")
    ]
    grain = f"one example of the smallest group is {100 / smallest:.1f} points"
    for scale in dataset["trained_scale"].values:
        part = dataset.sel(trained_scale=scale)
        off, own = (100 * float(part[name].max()) for name in ("trained_apart", "trained_start_apart"))
        subject = (
            "As it is" if scale == 1 else f"With outputs {scale:g} times as large, so that its kernel hardly moves,"
        )
        lines.append(
            f"{subject} the network is at most {own:.1f} points from what its own kernel at the start predicts for any "
            f"group at any saved time, and {off:.1f} from what the report does ({grain})."
        )
    return " ".join(lines)
