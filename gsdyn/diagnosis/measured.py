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
from gsdyn.diagnosis._networks import trainable
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

    A kernel without a network cannot be trained: the verdict then says so.

        report = gs.diagnosis.measured(gs.diagnose(x, y, attributes=known), x, y, attributes=known, train=True)

        >>> report = gs.diagnosis.measured(report, x, y, network=net)  # doctest: +SKIP
    """
    _checks.instance("report", report, Report)
    if x is None or not trainable(network, params):
        told = "How lazy the network is was not measured: there is a kernel and no network."
        return _with(report, [], [told])
    parts, told = [], []
    if lazy:
        signs = _signs(y, positive)
        part = laziness(network, x, signs, params=params, seed=seed, progress=progress)
        parts.append(part)
        told.append(part.attrs["lazy"])
    if train:
        given = {"attributes": attributes, "test": test, "network": network, "params": params, "positive": positive}
        part = trained(report, x, y, **given, progress=progress)
        parts.append(part)
        told.append(part.attrs["trained"])
    return _with(report, parts, told)


def _signs(y: Any, positive: Any) -> np.ndarray:
    labels = y if hasattr(y, "sentence") else read_labels(y)
    return labels.y if positive is None else np.where(labels.named == str(positive), 1.0, -1.0)


def _with(report: Report, parts: list[xr.Dataset], sentences: list[str]) -> Report:
    verdict = dataclasses.replace(report.verdict, sentences=(*report.verdict.sentences, *sentences))
    dataset = xr.merge([report.dataset, *parts], compat="override", combine_attrs="override")
    for part in parts:
        dataset.attrs.update(part.attrs)
    dataset.attrs["verdict"] = json.dumps(verdict.as_dict())
    return Report(dataset, verdict)
