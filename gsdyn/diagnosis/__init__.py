"""The starvation report: which features of your data your network learns, which starve which, what is a shortcut."""

from gsdyn.diagnosis.diagnose import diagnose
from gsdyn.diagnosis.report import Report, Verdict

__all__ = ["Report", "Verdict", "diagnose"]
