"""Claims of the papers as data, and the reports made from checking them."""

from gsdyn.verification._claims import Claim, Finding
from gsdyn.verification.report import Report
from gsdyn.verification.theorem2 import check_theorem2, small_overlap_limits

__all__ = ["Claim", "Finding", "Report", "check_theorem2", "small_overlap_limits"]
