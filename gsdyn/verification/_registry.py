"""How a claim and the trials that check it are tied together, and how trials become a finding."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from gsdyn.verification._claims import Claim, Finding


class Trials(NamedTuple):
    """What the samples of one claim gave.

    - `errors`: the claim's measure in every sample, an array of any shape with the samples along the first axis.
    - `places`: what each sample was, by name, so that the worst one can be named: one entry a sample.
    - `details`: further numbers, by name.
    """

    errors: Any
    places: Mapping[str, Any] = {}
    details: Mapping[str, Any] = {}


Trial = Callable[[Generator, int], Trials]


class Check(NamedTuple):
    """A claim, and what it takes to check it.

    - `short`: the claim in a few words, for a table. `samples`: how many problems to try. `tolerance`: the bound on
      the claim's measure, in each of them. `trial`: draws so many problems from a generator and tries them.
    - `findings`: overrides `trial` where a claim has a check of its own: from `(samples, seed)` to its findings.

        >>> print(gs.verification.checks()["P21-Thm2"].short)
        the weaker feature starves
    """

    claim: Claim
    short: str
    samples: int
    tolerance: float
    trial: Trial | None = None
    findings: Callable[[int, int], list[Finding]] | None = None

    def run(self, seed: int = 0, samples: int | None = None) -> list[Finding]:
        """Check the claim on `samples` problems, all drawn anew."""
        count = self.samples if samples is None else samples
        if self.findings is not None:
            return self.findings(count, seed)
        assert self.trial is not None
        # each claim has a stream of its own, so that its problems do not depend on which others are checked
        trials = self.trial(np.random.default_rng([seed, zlib.crc32(self.claim.id.encode())]), count)
        return [_finding(self, trials)]


class Group:
    """The checks of one file, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(
        self,
        id: str,
        short: str,
        statement: str,
        method: str,
        measure: str,
        *,
        samples: int,
        tolerance: float,
        instead: str | None = None,
    ) -> Callable[[Trial], Trial]:
        """Register the decorated trial under a claim; arguments as in `Claim` and `Check`."""

        def register(trial: Trial) -> Trial:
            claim = Claim(id, statement, method, measure, instead)
            self.checks.append(Check(claim, short, samples, tolerance, trial))
            return trial

        return register


def _finding(check: Check, trials: Trials) -> Finding:
    errors = np.asarray(trials.errors, float)
    errors = errors.reshape(len(errors), -1)
    if check.claim.instead is None:
        # what could not be computed speaks against a claim, and never for a counter-example
        errors = np.where(np.isnan(errors), np.inf, errors).max(axis=1)
    else:
        errors = np.where(np.isfinite(errors), errors, 0.0).max(axis=1)
    bad = ~(errors <= check.tolerance)
    worst = int(np.argmax(errors))
    details = {name: _plain(value) for name, value in trials.details.items()}
    if bad.any():
        name = "first violation" if check.claim.instead is None else "counter-example"
        details[name] = {key: _plain(np.asarray(values)[worst]) for key, values in trials.places.items()}
    value = min(float(errors[worst]), sys.float_info.max)
    return Finding(check.claim, check.short, len(errors), int(bad.sum()), value, check.tolerance, details)


def _plain(value: Any) -> Any:
    """A number or list that JSON has."""
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return str(value)
    if array.dtype.kind == "f":
        array = np.where(np.isfinite(array), array, np.copysign(sys.float_info.max, array))
    return array.tolist()
