"""`gsdyn reproduce NAME`: the experiments of the papers, their figures and data, as the catalogue declares them."""

from __future__ import annotations

import dataclasses

from tyro.extras import SubcommandApp

from gsdyn.cli._console import progress, start_jax, writable
from gsdyn.experiments.catalogue import EXPERIMENTS, Experiment

reproduce = SubcommandApp()
for _experiment in EXPERIMENTS:
    reproduce.command(name=_experiment.command)(_experiment)


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """An experiment with its options, to be run by the command line."""

    experiment: Experiment

    def run(self) -> int:
        figures, results = self.experiment.folders()
        with writable(figures=figures, results=results), progress() as report:
            start_jax()
            lines = self.experiment.perform(report)
        print("\n".join(lines))
        return 0
