"""One file per experiment: it computes a labelled dataset and draws nothing. Import the one you want.

Here is only what all of them share.
"""

from gsdyn._outputs import Outputs
from gsdyn._progress import Progress, silent
from gsdyn._provenance import git_commit, provenance
from gsdyn.experiments._datasets import labelled, save_dataset

__all__ = ["Outputs", "Progress", "git_commit", "labelled", "provenance", "save_dataset", "silent"]
