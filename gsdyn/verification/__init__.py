"""Claims of the papers as data, and the reports made from checking them."""

from gsdyn.verification._claims import Claim, Finding
from gsdyn.verification._registry import Check
from gsdyn.verification.claims import checks, verify_claims
from gsdyn.verification.report import Report
from gsdyn.verification.theorem2 import check_theorem2, small_overlap_limits

__all__ = [
    "Check",
    "Claim",
    "Finding",
    "Report",
    "check_theorem2",
    "checks",
    "small_overlap_limits",
    "verify_claims",
]
