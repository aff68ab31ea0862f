"""The real network trained with the plain and the suggested setting, measured beside predicted, group by group.

What `trained` gives has its own dimensions, so that it can be merged into the dataset of the report:

    trained_setting    "plain", "suggested"             trained_record   number of the saved time
    trained_seed       seeds of the starts              trained_split    "train", "test" (where given)

    trained_time (trained_setting, trained_record)
    trained_accuracy (trained_setting, trained_seed, trained_split, group, trained_record)
    trained_predicted (trained_setting, trained_split, group, trained_record)
    trained_apart (trained_setting, trained_split, group)    largest distance of the mean over seeds from predicted
    trained_words (trained_setting)                          the setting, in words
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.diagnosis import _networks, groups
from gsdyn.diagnosis import problem as problems
from gsdyn.diagnosis.gram import Gram, gram
from gsdyn.diagnosis.problem import Problem
from gsdyn.diagnosis.report import Report
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow, Phase
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import SpectralDecoupling, Unregularised, WeightDecay

if TYPE_CHECKING:
    import xarray as xr

SEEDS, RECORDS = 3, 12
SHARE = 0.25
"""The step of gradient descent, as a share of the largest stable one, if a fourth of the first time is no less."""
FIRST = 0.01
"""The first saved time over the last, where a setting has one phase."""

NAMES = {
    "trained_time": ("time", "step of gradient descent times the number of steps"),
    "trained_accuracy": ("1", "accuracy of the trained network"),
    "trained_predicted": ("1", "accuracy that the kernel predicts"),
    "trained_apart": ("1", "largest distance of the trained accuracy, mean over seeds, from the predicted one"),
    "trained_words": ("", "the setting in words"),
}


class Setting(NamedTuple):
    """How to train: phases one after the other, times at which to look, and the same in words."""

    phases: tuple[Phase, ...]
    ts: np.ndarray
    words: str


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
    seeds: Sequence[int] = tuple(range(SEEDS)),
    progress: Progress = silent,
) -> xr.Dataset:
    """Trains the network by gradient descent of the plain and of the suggested setting, beside what is predicted.

    - `report`: what `gs.diagnose` made of these examples. The suggested setting is the one whose worst group is
      predicted to be best on its deciding split.
    - `x`, `y`, `attributes`, `test`, `network`, `params`, `positive`: as they were given to `gs.diagnose`.
    - `seeds`: of the starts; a network that holds its parameters has the one.
    - `progress`: called with "training", the runs done and how many there are.

    Outputs are counted from those at the start, as in the theory; weight decay is towards the weights at the start.
    The loss is the sum over examples, so that time, step times number of steps, is the report's.

    Returns a dataset with the variables above, and the finding as a sentence in `attrs["trained"]`. Raises `ValueError`
    for a kernel without a network, and for other examples than those of the report.

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
    seeds = seeds if _networks.drawn(network, params) else seeds[:1]
    found, kernels = groups.of(problem), gram(problem, network, params)
    chosen = {"plain": _plain(report.dataset), "suggested": _suggested(report.dataset)}
    predicted, measured = [], []
    for number, setting in enumerate(chosen.values()):
        margins = _predicted(problem, kernels, setting)
        predicted.append([_accuracies(found, split, part) for split, part in margins.items()])
        runs = []
        for seed in seeds:
            progress("training", number * len(seeds) + len(runs), 2 * len(seeds))
            net = _networks.network_of(network, params, problem.x, seed)  # pyright: ignore[reportArgumentType]
            runs.append([_accuracies(found, split, part) for split, part in _run(problem, net, setting).items()])
        measured.append(runs)
    progress("training", 2 * len(seeds), 2 * len(seeds))
    return _dataset(report.dataset, chosen, np.array(measured), np.array(predicted), seeds)


def _plain(dataset: xr.Dataset) -> Setting:
    last = float(dataset.attrs["plain_time"])
    phases = (Phase(jnp.inf, Unregularised()),)
    return Setting(phases, np.geomspace(FIRST * last, last, RECORDS), f"cross-entropy until time {last:.3g}")


def _suggested(dataset: xr.Dataset) -> Setting:
    """The choice of the best worst cell, over all attributes the one with the worst plain training."""
    select = dataset.attrs["select"]
    if not dataset.sizes["attribute"]:
        return _plain(dataset)._replace(words="the same: no attribute was given to choose by")
    worst = dataset["choice_worst"].sel(split=select)
    attribute = str(worst.sel(strategy="plain").fillna(np.inf).idxmin("attribute").item())
    score = worst.sel(attribute=attribute).fillna(-np.inf)
    strategy = str(score.idxmax("strategy").item())
    at = {
        name: float(dataset[f"choice_{name}"].sel(attribute=attribute, strategy=strategy))
        for name in ("time", "decay", "switch", "decoupling", "after")
    }
    if strategy == "decay":
        lam, last = at["decay"], 5 / at["decay"]
        words = f"weight decay {lam:.3g} until time {last:.3g}"
        return Setting((Phase(jnp.inf, WeightDecay(lam)),), np.geomspace(FIRST * last, last, RECORDS), words)
    if strategy == "switch":
        later = Phase(jnp.inf, SpectralDecoupling(at["decoupling"]))
        after = np.geomspace(FIRST * at["after"], at["after"], RECORDS - 1)
        words = f"spectral decoupling {at['decoupling']:.3g} from time {at['switch']:.3g} for {at['after']:.3g}"
        if at["switch"] == 0:
            return Setting((later,), np.append(after[0] / 2, after), words)
        return Setting((Phase(at["switch"], Unregularised()), later), at["switch"] + np.append(0.0, after), words)
    last = at["time"]
    phases = (Phase(jnp.inf, Unregularised()),)
    words = f"cross-entropy, stopped at time {last:.3g}"
    return Setting(phases, np.geomspace(FIRST * last, last, RECORDS), words)


def _predicted(problem: Problem, kernels: Gram, setting: Setting) -> dict[str, np.ndarray]:
    """Margins of every split at every saved time, by the kernel."""
    run = integrate(KernelFlow(kernels.theta, problem.y, CrossEntropy(), setting.phases), setting.ts, rtol=1e-6)
    found = {"train": np.asarray(run.margins)}
    if problem.test is not None and kernels.new is not None:
        found["test"] = problem.test.y * ((problem.y * np.asarray(run.coefficients)) @ np.asarray(kernels.new).T)
    return found


def _run(problem: Problem, net: _networks.Network, setting: Setting) -> dict[str, np.ndarray]:
    """The same margins of the network in training."""
    from gsdyn.training import BinaryObjective, Penalised, train

    assert problem.x is not None
    x, y = net.inputs("x", problem.x), jnp.asarray(problem.y, net.dtype)
    new = None if problem.test is None or problem.test.x is None else net.inputs("test x", problem.test.x)
    everything = x if new is None else jnp.concatenate([x, new])
    origin = net.apply(net.leaves, everything)
    strongest = _strongest(net, x)
    leaves, begin, seen = net.leaves, 0.0, []

    def observe(leaves: Any) -> Array:
        return net.apply(leaves, everything) - origin

    for phase in setting.phases:
        end = begin + float(phase.duration)
        ts = setting.ts[(setting.ts > begin) & (setting.ts <= end)] if begin else setting.ts[setting.ts <= end]
        objective = Penalised(BinaryObjective(net.apply, mean=False), phase.penalty, centre=net.leaves)
        own, common = (float(part) for part in phase.penalty.decay())
        stops = np.append(ts, end)[: len(ts) + int(np.isfinite(end))] - begin
        rate = min(SHARE * 2 / (strongest * (0.25 + common) + own), stops[0] / 4)
        steps = np.round(stops / rate).astype(int)
        run = train(
            leaves, objective, objective.columns(x, y, origin=origin[: len(x)]), optax.sgd(rate), steps, observe=observe
        )
        seen.append(np.asarray(run.observed)[: len(ts)])
        leaves, begin = run.params, end
    outputs = np.concatenate(seen)
    found = {"train": problem.y * outputs[:, : len(x)]}
    if new is not None and problem.test is not None:
        found["test"] = problem.test.y * outputs[:, len(x) :]
    return found


def _strongest(net: _networks.Network, x: Array, rounds: int = 12) -> float:
    """The largest eigenvalue of the network's kernel at the start, by products with it, and a tenth more."""
    from gsdyn.kernels import ntk_product

    product = ntk_product(net.apply, net.leaves, x)
    v, size = np.full((len(x), 1), len(x) ** -0.5, net.dtype), 0.0
    for _ in range(rounds):
        w = np.asarray(product(v))
        size = float(np.linalg.norm(w))
        v = w / size
    return 1.1 * size


def _accuracies(found: groups.Groups, split: str, margins: np.ndarray) -> np.ndarray:
    """The accuracy of every group at every time, (g, t)."""
    return groups.metrics(found, split, margins)["accuracy"]


def _dataset(
    report: xr.Dataset,
    chosen: dict[str, Setting],
    measured: np.ndarray,
    predicted: np.ndarray,
    seeds: Sequence[int],
) -> xr.Dataset:
    import xarray as xr

    with np.errstate(invalid="ignore"):
        apart = np.abs(measured.mean(axis=1) - predicted).max(axis=-1)
    of = ("trained_setting", "trained_split", "group", "trained_record")
    variables = {
        "trained_time": (("trained_setting", "trained_record"), np.array([s.ts for s in chosen.values()])),
        "trained_accuracy": ((of[0], "trained_seed", *of[1:]), measured),
        "trained_predicted": (of, predicted),
        "trained_apart": (of[:3], apart),
        "trained_words": (of[:1], [s.words for s in chosen.values()]),
    }
    coordinates = {
        "trained_setting": list(chosen),
        "trained_seed": list(seeds),
        "trained_split": ["train", "test"][: predicted.shape[1]],
        "group": report["group"],
    }
    dataset = xr.Dataset(
        {
            name: (dims, value, {"units": NAMES[name][0], "description": NAMES[name][1]})
            for name, (dims, value) in variables.items()
        },
        coords=coordinates,
    )
    return dataset.assign_attrs(trained=_sentence(dataset))


def _sentence(dataset: xr.Dataset) -> str:
    split = str(dataset["trained_split"].values[-1])
    part = dataset.sel(trained_split=split)
    cells = np.flatnonzero(dataset["group_kind"].values == "cell") if "group_kind" in dataset.coords else []
    at = cells if len(cells) else np.arange(dataset.sizes["group"])
    ends = part["trained_accuracy"].mean("trained_seed").isel(trained_record=-1, group=at).min("group").values
    told = part["trained_predicted"].isel(trained_record=-1, group=at).min("group").values
    off = float(np.nanmax(dataset["trained_apart"].values))
    words = dataset["trained_words"].values
    return (
        f"Trained ({dataset.sizes['trained_seed']} seeds): {words[0]}, the worst group of the {split} set ends at "
        f"{ends[0]:.0%} (predicted {told[0]:.0%}); {words[1]}, at {ends[1]:.0%} (predicted {told[1]:.0%}); no group is "
        f"more than {100 * off:.1f} points from its prediction at any saved time."
    )
