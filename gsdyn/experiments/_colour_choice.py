"""Settings chosen on held-out training images, whose colours agree with the labels as those of the training images do.

The authors' settings were chosen on the test images, which is what makes IRM, V-REx and SD look as they do. Here every
method has a few settings; each is trained on four fifths of the training images, and the setting and the step are taken
that do best on the other fifth: by the average, or by the worse of two groups, the images whose colour agrees with the
label and those whose colour does not.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from gsdyn._progress import Progress
from gsdyn.experiments._colour_nets import AUTHORS, IRMS_ORACLE, STOPS, Setting
from gsdyn.experiments._colour_runs import ROWS, Task, followed

RULES = ("held-out average", "held-out worst group")


def _also(name: str, *changes: dict[str, float]) -> tuple[Setting, ...]:
    return (AUTHORS[name], *(dataclasses.replace(AUTHORS[name], **change) for change in changes))


CANDIDATES: dict[str, tuple[Setting, ...]] = {
    "ERM": (dataclasses.replace(AUTHORS["ERM"], steps=STOPS["ERM"]),),
    "SD": _also("SD", {"weight": 0.25}, {"weight": 4.0}),
    "IRM": _also("IRM", {"switch": 50}, {"switch": 100}, {"switch": 50, "weight": 1e3}),
    "V-REx": _also("V-REx", {"switch": 25}, {"switch": 50}, {"switch": 25, "weight": 1e2}),
    "oracle": (AUTHORS["oracle"], IRMS_ORACLE),
}


class Chosen(NamedTuple):
    """A setting and a step, and the accuracy on every row there."""

    step: int
    weight: float
    switch: int
    accuracy: np.ndarray


def chosen(task: Task, method: str, seed: int, told: Progress, done: int, total: int) -> dict[str, Chosen]:
    """What each rule takes among the candidates of a method."""
    best: dict[str, tuple[float, Chosen]] = {}
    for number, setting in enumerate(CANDIDATES[method]):
        told("settings chosen on held-out images", done + number, total)
        course = followed(task, setting, seed, f"choice-{method}-{number}", hold_out=True)
        accuracy = course.measured[:, 0]
        for rule in RULES:
            value = _value(rule, accuracy)
            at = task.best(setting, course.step, value)
            if rule not in best or value[at] > best[rule][0]:
                found = Chosen(int(course.step[at]), setting.weight, task.paced(setting).switch, accuracy[at])
                best[rule] = (float(value[at]), found)
    return {rule: found for rule, (_, found) in best.items()}


def all_chosen(task: Task, seeds: int, told: Progress) -> list[dict[str, dict[str, Chosen]]]:
    """For every seed and method what each rule takes."""
    each = sum(map(len, CANDIDATES.values()))
    found: list[dict[str, dict[str, Chosen]]] = []
    for seed in range(seeds):
        found.append({})
        done = seed * each
        for method, settings in CANDIDATES.items():
            found[-1][method] = chosen(task, method, seed, told, done, seeds * each)
            done += len(settings)
    if seeds:
        told("settings chosen on held-out images", seeds * each, seeds * each)
    return found


def _value(rule: str, accuracy: np.ndarray) -> np.ndarray:
    """What a rule maximises, at every step."""
    everyone, *groups = (accuracy[:, ROWS.index(f"held-out, {group}")] for group in ("all", "aligned", "conflicting"))
    return everyone if rule == RULES[0] else np.minimum(*groups)
