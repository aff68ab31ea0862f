"""The starvation report: which features of your data your network learns, which starve which, what is a shortcut."""

from gsdyn.diagnosis.diagnose import diagnose
from gsdyn.diagnosis.lazy import laziness
from gsdyn.diagnosis.measured import measured
from gsdyn.diagnosis.report import Report, Verdict
from gsdyn.diagnosis.trained import trained

__all__ = ["Report", "Verdict", "diagnose", "laziness", "measured", "trained"]
