"""Every experiment is declared once: options and defaults, what computes and what draws."""

import dataclasses
import inspect
import json
import runpy
import sys
from pathlib import Path

import pytest

from gsdyn.experiments.catalogue import EXPERIMENTS, FORMATS, Experiment

ROOT = Path(__file__).parents[2]
TOLD = json.loads((ROOT / "figures" / "results.json").read_text())


@pytest.mark.parametrize("kind", EXPERIMENTS, ids=lambda kind: kind.command)
def test_what_computes_takes_the_options_as_they_are_declared(kind):
    """Without an option the command and the function do the same."""
    experiment = kind()
    parts = experiment.parts()
    assert experiment.__doc__
    assert kind.command.replace("-", "_") == parts[0].compute.__name__
    for part in parts:
        defaults = {name: p.default for name, p in inspect.signature(part.compute).parameters.items()}
        assert {name: defaults[name] for name in part.settings} == part.settings
        assert set(part.places) <= set(defaults)
        assert part.draw.__name__ == f"draw_{part.compute.__name__}"
        assert part.table is not None
        # what the gallery tells of has been drawn whole
        drawn = FORMATS if kind.command in TOLD else FORMATS[:2]
        for suffix in drawn:
            assert (ROOT / "figures" / f"{part.compute.__name__}{suffix}").exists()


@pytest.mark.parametrize("kind", EXPERIMENTS, ids=lambda kind: kind.command)
def test_every_option_reaches_what_computes(kind):
    changed = {field: 7 for field in kind().options() if field != "quick"}
    seen = [value for part in kind(**changed).parts() for value in part.settings.values()]
    assert seen == [7] * len(changed)
    assert {f.name for f in dataclasses.fields(Experiment)} == {"figures", "results"}


def test_the_readme_names_them_all():
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{kind.command}`" in readme for kind in EXPERIMENTS)


def test_committed_figures_are_drawn_by_one_command_which_knows_them_all(monkeypatch):
    asked = []
    told = (ROOT / "figures" / "results.json").read_text()
    monkeypatch.setattr("gsdyn.cli.main", lambda words: asked.append(words) or 0)
    monkeypatch.setattr(sys, "argv", ["figures.py"])
    runpy.run_path(str(ROOT / "scripts" / "figures.py"), run_name="__main__")
    assert {words[-1] for words in asked} == {str(ROOT / "figures")}
    assert [words[:-2] for words in asked] == [["curves"], *(["reproduce", kind.command] for kind in EXPERIMENTS)]
    assert (ROOT / "figures" / "results.json").read_text() == told
    monkeypatch.setattr(sys, "argv", ["figures.py", "nothing"])
    with pytest.raises(SystemExit, match="got nothing"):
        runpy.run_path(str(ROOT / "scripts" / "figures.py"), run_name="__main__")
