"""What a verification is made of: a claim of a paper, and what checking it found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement to be checked.

    - `id`: the name THEORY gives it, for example "P21-Thm2".
    - `statement`: what is claimed, in one line.
    - `method`: how it is checked, in one line.
    - `measure`: what `Finding.worst` is the worst of, in a word or two, for example "relative error".
    - `instead`: for a statement that is false as it stands, what is true instead. Then a counter-example is expected.

        >>> print(gs.verification.checks()["P21-Eq18"].claim.statement)
        alpha' = eta(log(1-alpha) - log(alpha) - alpha/lam), elementwise and whatever U and S are
    """

    id: str
    statement: str
    method: str
    measure: str
    instead: str | None = None


@dataclasses.dataclass(frozen=True)
class Finding:
    """What checking one claim found.

    - `case`: what the claim was checked on, where it was on several things, for example "Eq. 9".
    - `samples`: how many problems were tried. `violations`: in how many the claim failed.
    - `worst`: the worst of the claim's measure. `tolerance`: the bound that `worst` was held to, None where a problem
      is right or wrong by itself.
    - `details`: further numbers, by name, for example a counter-example.

        >>> (finding,) = gs.verification.verify_claims(["P21-Eq12"], samples=5).findings
        >>> print(finding.holds, finding.samples)
        True 5
    """

    claim: Claim
    case: str
    samples: int
    violations: int
    worst: float
    tolerance: float | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether no problem failed, of at least one that was tried."""
        return self.samples > 0 and self.violations == 0

    @property
    def expected(self) -> bool:
        """Whether it holds, or is false as stated and was found to be so again."""
        if self.claim.instead is None:
            return self.holds
        return self.samples > 0 and self.violations > 0

    @property
    def verdict(self) -> str:
        """What came out, in a few words."""
        if self.claim.instead is None:
            return "holds" if self.holds else "VIOLATED"
        return "false as stated" if self.expected else "NOT REFUTED"
