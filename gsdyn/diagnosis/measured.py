"""A report with what a real network adds to it: how lazy it is, and how it trains beside what was predicted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data.labels import read_labels
from gsdyn.diagnosis._networks import Output, trainable
from gsdyn.diagnosis.lazy import laziness
from gsdyn.diagnosis.report import Report
from gsdyn.diagnosis.trained import trained


def measured(
    report: Report,
    x: Any,
    y: Any,
    *,
    attributes: Mapping[str, Any] | None = None,
    test: Any = None,
    network: Any = None,
    params: Any = None,
    positive: Any = None,
    lazy: bool = True,
    train: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Report:
    """The report, with variables of `laziness` and `trained` in its dataset and their findings at the verdict's end.

    - `report`: what `gs.diagnose` made of these examples.
    - `x`, `y`, `attributes`, `test`, `network`, `params`, `positive`: as they were given to it.
    - `lazy`: whether to train a few examples for a short time beside the linearised network.
    - `train`: whether to train the network with the plain and the suggested setting, three times each.
    - `seed`: of the start of the network.
    - `progress`: as `laziness` and `trained` call it.

    Of several classes the first with a shortcut is measured, or the first, unless `positive` names another. A kernel
    without a network cannot be trained: the verdict then says so.

        report = gs.diagnosis.measured(gs.diagnose(x, y, attributes=known), x, y, attributes=known, train=True)

        >>> report = gs.diagnosis.measured(report, x, y, network=net)  # doctest: +SKIP
    """
    _checks.instance("report", report, Report)
    if report.classes and positive is None and x is not None:
        positive = str(next((r["class"] for r in report.verdict.shortcuts), report.classes[0]))
    of_one = report.of(str(positive)) if report.classes and positive is not None else report
    if x is None or not trainable(network, params):
        told = "How lazy the network is was not measured: there is a kernel and no network."
        return _with(report, [], [told], None)
    parts, told = [], []
    if lazy:
        signs, output = _signs(y, positive)
        part = laziness(network, x, signs, params=params, output=output, seed=seed, progress=progress)
        parts.append(part)
        told.append(part.attrs["lazy"])
    if train:
        given = {"attributes": attributes, "test": test, "network": network, "params": params, "positive": positive}
        part = trained(of_one, x, y, **given, progress=progress)
        parts.append(part)
        told.append(part.attrs["trained"])
    return _with(report, parts, told, str(positive) if report.classes else None)


def _signs(y: Any, positive: Any) -> tuple[np.ndarray, Output | None]:
    """Labels -1 and +1, and of several classes which is learnt against the rest."""
    labels = y if hasattr(y, "sentence") else read_labels(y)
    if positive is None:
        return labels.y, None
    output = Output(labels.names.index(str(positive)), len(labels.names)) if len(labels.names) > 2 else None
    return np.where(labels.named == str(positive), 1.0, -1.0), output


def _with(report: Report, parts: list[xr.Dataset], sentences: list[str], of: str | None) -> Report:
    told = [f"{of}: {sentence}" for sentence in sentences] if of else sentences
    verdict = dataclasses.replace(report.verdict, sentences=(*report.verdict.sentences, *told))
    if of:  # groups of the class bear its names
        parts = [part.drop_vars([c for c in part.coords if str(c).startswith("group_")]) for part in parts]
    dataset = xr.merge([report.dataset, *parts], compat="override", combine_attrs="override")
    for part in parts:
        dataset.attrs.update(part.attrs)
    if of and parts:
        dataset.attrs["measured_class"] = of
    dataset.attrs["verdict"] = json.dumps(verdict.as_dict())
    return Report(dataset, verdict)
