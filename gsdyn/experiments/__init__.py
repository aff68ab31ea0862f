"""One file per experiment: it computes a labelled dataset and draws nothing. Import the one you want.

Here is only what all of them share.
"""

from gsdyn.experiments._progress import Progress, silent
from gsdyn.experiments._results import Outputs, git_commit, labelled, provenance, save_dataset

__all__ = ["Outputs", "Progress", "git_commit", "labelled", "provenance", "save_dataset", "silent"]
