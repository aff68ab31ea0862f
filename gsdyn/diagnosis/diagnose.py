"""`gs.diagnose`: a user's own data and network, and which features it learns, starves, and follows as shortcuts."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gsdyn
from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn._progress import Progress
from gsdyn._provenance import provenance
from gsdyn.data.labels import BinaryLabels, ClassLabels, read_labels
from gsdyn.diagnosis import classes, draws, solutions, verdict
from gsdyn.diagnosis import problem as problems
from gsdyn.diagnosis.assemble import assemble, attributes_of
from gsdyn.diagnosis.gram import Gram, gram, require_memory
from gsdyn.diagnosis.paths import GAP, RTOL
from gsdyn.diagnosis.report import Report
from gsdyn.diagnosis.stages import Stages, fingerprint, teller
from gsdyn.diagnosis.starving import FEW
from gsdyn.diagnosis.together import Together


@full_precision
def diagnose(
    x: Any,
    y: Any,
    *,
    attributes: Mapping[str, Any] | None = None,
    test: Any = None,
    network: Any = None,
    params: Any = None,
    kernel: Any = None,
    positive: Any = None,
    features: int = 20,
    ts: Any = None,
    decays: Any = None,
    decouplings: Any = None,
    switch_times: Any = None,
    examples: int | None = 10_000,
    columns: Any = None,
    notes: tuple[str, ...] = (),
    level: float = 0.05,
    select: str = "held-out",
    seed: int = 0,
    memory: int | None = None,
    progress: bool | Progress = True,
    out: str | Path | None = None,
) -> Report:
    """The starvation report: which features of the data the network learns, which starve which, whether one of them is
    a shortcut, and what weight decay, spectral decoupling or stopping earlier would change (*beyond* P21).

    Computed before any training, from the network's neural tangent kernel: gradient flow of the cross-entropy summed
    over examples, `f' = K sigma(-f)`, whole and without truncation (THEORY sections 8 to 10).

    - `x`: inputs, one example a row, shape (n, ...); None with a `kernel`. As the network would see them: nothing is
      scaled. `y`: labels in any form (see `gs.data.read_labels`).
    - `attributes`: by name, one value for each example, a dictionary or a table of pandas: what the network should not
      go by, such as colour or hospital.
      Numbers of many values are cut at their median, values of fewer than 5 examples taken as one.
    - `test`: new examples, a mapping (or object) with `x` (or `kernel`, shape (m, n)), `y` and perhaps `attributes`.
    - `network`: of `gs.networks` (default `FullyConnected(depth=3)`) at infinite width; with `params` any network that
      `gs.kernels.empirical_ntk` takes, at these parameters. `kernel`: one made elsewhere, shape (n, n).
    - `positive`: the class that is learnt against the rest. By default the second of two; of more every class in turn,
      from one kernel: variables then have a dimension `class`, `report.of(name)` is the report of one class, `level`
      is shared by all, and it takes that many times as long. Of a network with an output for each class that of the
      class is taken, with cross-entropy against the rest in place of softmax. All classes together are told too, the
      largest of their outputs deciding: accuracies of every group over training, and the best settings (`all_...`).
    - `features`: how many of the strongest features are told, at least 1.
    - `ts`: saved times of training, increasing, >= 0; `decays`: weight decays > 0; `decouplings`: strengths of spectral
      decoupling > 0; `switch_times`: when it sets in, >= 0 (0: from the start). By default from the kernel's scales,
      and fewer beyond 4,000 examples.
    - `examples`: of more, so many are drawn, the same share of every group; None takes all.
    - `columns`: a name for each input; a table of pandas has its own. `notes`: sentences about the data for the report
      to repeat.
    - `level`: the probability of any false tie between a feature and an attribute, in (0, 1).
    - `select`: on what the best time and penalty are chosen: "held-out", a fifth of the training examples, or "test".
    - `seed`: of the draws. `memory`: bytes that may be used; by default what is free.
    - `progress`: True for a line a stage on stderr, False for none, or a function of stage, stages done and all.
    - `out`: a folder that keeps finished stages; the same call after an interruption goes on there.

    Returns a `Report` with `dataset`, `verdict` and `save`. Raises `ValueError` in one line that names the argument,
    before anything is computed, and `gs.kernels.NotEnoughMemory` where the kernels do not fit.

        data = gs.data.colour_digits(2000, 1000)
        report = gs.diagnose(
            data.train.x, data.train.y, attributes={"colour": data.train.colour},
            test={"x": data.test.x, "y": data.test.y, "attributes": {"colour": data.test.colour}},
        )
        print(report.verdict)

        >>> random = np.random.default_rng(0)
        >>> labels = random.choice([0, 1], 80)
        >>> site = np.where(random.random(80) < 0.9, labels, 1 - labels)
        >>> rows = np.stack([4.0 * site - 2, labels + random.normal(size=80)], axis=1)
        >>> report = gs.diagnose(rows, labels, attributes={"site": site}, features=3, progress=False)
        >>> print(report.verdict.kind)
        shortcut
    """
    seed = _checks.integer("seed", seed, 0, 2**32 - 1)
    limit = None if examples is None else _checks.integer("examples", examples, 2 * draws.FEWEST)
    level = _checks.number("level", level, "a number in (0, 1)", lambda v: 0 < v < 1)
    wishes = solutions.Wishes(
        _checks.integer("features", features, 1),
        None if ts is None else _grid("ts", ts, zero=True),
        None if decays is None else _grid("decays", decays),
        None if switch_times is None else _grid("switch_times", switch_times, zero=True),
        None if decouplings is None else _grid("decouplings", decouplings),
        level,
    )
    if select not in ("held-out", "test"):
        raise ValueError(f"select must be 'held-out' or 'test', got {select!r}")
    if select == "test" and test is None:
        raise ValueError("select must be 'held-out' where there is no test set, got 'test'")
    labels = y if isinstance(y, BinaryLabels | ClassLabels) else read_labels(y)
    tell = teller(progress)
    columns = getattr(x, "columns", None) if columns is None else columns
    given = {"seed": seed, "select": select, "memory": memory, "out": out, "words": progress is True}
    read = functools.partial(problems.read, x, labels, attributes, test, kernel, limit=limit, seed=seed)

    def one(name: Any, wishes: solutions.Wishes, tell: Progress, kernels: Gram | None) -> _Done:
        problem = problems.named(read(positive=name), columns, notes)
        return _one(problem, network, params, wishes, tell, kernels, given)

    if positive is not None or not isinstance(labels, ClassLabels):
        return one(positive, wishes, tell, None).report
    return _each(labels.names, one, wishes, tell, select)


class _Done(NamedTuple):
    """A report on two classes, and what it was made of."""

    report: Report
    kernels: Gram
    problem: problems.Problem
    found: solutions.Solutions


def _each(
    names: tuple[str, ...], one: Callable[..., _Done], wishes: solutions.Wishes, tell: Progress, select: str
) -> Report:
    """The report of every class against the rest, on the grids of the first, and of all together; the level is shared
    by all."""
    wishes = dataclasses.replace(wishes, level=wishes.level / len(names))
    kernels, together = None, Together(names)

    def diagnosed(name: str, tell: Progress) -> Report:
        nonlocal kernels, wishes
        report, kernels, problem, found = one(name, wishes, tell, kernels)
        together.add(problem, found)
        ds = report.dataset
        wishes = dataclasses.replace(
            wishes, ts=ds.time.values, decays=ds.decay.values, switch_times=ds.switch.values,
            decouplings=ds.decoupling.values,
        )  # fmt: skip
        return report

    return classes.with_all(classes.each(names, tell, diagnosed), together.dataset(select))


def _one(
    problem: problems.Problem,
    network: Any,
    params: Any,
    wishes: solutions.Wishes,
    tell: Progress,
    kernels: Gram | None,
    given: Mapping[str, Any],
) -> _Done:
    """The report of two classes; `kernels` are those of another class, for a class that has no output of its own."""
    seed, select = given["seed"], given["select"]
    chosen = select if select in problem.splits else "train"
    limit = given["memory"]
    total = require_memory(problem, None if limit is None else _checks.integer("memory", limit, 1))
    if given["words"] and kernels is None:
        tell(f"{problem.n} examples, about {total / 2**30:.2g} GiB of memory", 0, len(solutions.NAMES))
    stages = Stages(tell, given["out"], _key(problem, network, params, wishes, given["out"]), len(solutions.NAMES))
    if kernels is None or kernels.one:
        kernels = gram(problem, network, params)
    found = solutions.solve(problem, kernels, wishes, stages)
    told = {
        "kernel": kernels.words,
        "seed": seed,
        "select": chosen,
        "level": wishes.level,
        "rtol": RTOL,
        "memory": total,
        "notes": json.dumps(list(problem.notes)),
        **provenance({"features": wishes.features, "seed": seed, "select": select, "level": wishes.level}),
    }
    dataset = assemble(problem, found, chosen, attributes_of(problem, found, told))
    return _Done(verdict.finished(dataset), kernels, problem, found)


def _key(problem: problems.Problem, network: Any, params: Any, wishes: solutions.Wishes, out: str | Path | None) -> str:
    """What stages are kept under: all that they depend on."""
    import jax

    if out is None:
        return ""
    given = {"y": problem.y, "held_out": problem.held_out, "x": problem.x, "kernel": problem.kernel}
    given |= {f"attribute {a.name}": np.stack([a.code, a.b]) for a in problem.attributes}
    if problem.test is not None:
        given |= {"test y": problem.test.y, "test x": problem.test.x, "test kernel": problem.test.kernel}
    leaves = [leaf for leaf in jax.tree.leaves((network, params)) if hasattr(leaf, "shape")]
    given |= {f"parameter {i}": leaf for i, leaf in enumerate(leaves)}
    settings = {
        "wishes": repr(wishes),
        "network": repr(network),
        "precision": str(jax.numpy.zeros(()).astype(float).dtype),
        "version": gsdyn.__version__,
        "method": [RTOL, GAP, FEW, "starvation since switches"],
    }
    return fingerprint({name: value for name, value in given.items() if value is not None}, settings)


def _grid(name: str, values: Any, *, zero: bool = False) -> np.ndarray:
    """Increasing numbers, all > 0 or >= 0."""
    check = _checks.nonnegative if zero else _checks.positive
    array = np.atleast_1d(np.asarray(check(name, values), float))
    if array.ndim != 1 or (np.diff(array) <= 0).any():
        raise ValueError(f"{name} must be increasing numbers, got {_checks.in_short(values)}")
    if name in ("ts", "decays") and (len(array) < 1 or math.isclose(array[-1], 0)):
        raise ValueError(f"{name} must hold a number above 0, got {_checks.in_short(values)}")
    return array
