"""Every snippet and command of the README runs as a reader would run it.

The long ones wait for `make slow`. Every run still reads all of them: commands are parsed, snippets compiled, and what
the long commands do is run on smaller grids in test_cli, test_cli_sweep and test_reproduce.
"""

import operator
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import gsdyn.cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if line and not line.startswith("make ")]
MAKE = [line for line in LINES if line.startswith("make ")]
QUICK = ("gsdyn --help", "gsdyn verify P21")


def _run(arguments: list[str], cwd: Path) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_snippets_name_what_there_is():
    assert len(SNIPPETS) == 3
    for snippet in SNIPPETS:
        compile(snippet, "README.md", "exec")
        for name in re.findall(r"\bgs\.([A-Za-z_.]+)", snippet):
            operator.attrgetter(name)(gsdyn)


@pytest.mark.slow
def test_snippets_run_one_after_the_other(tmp_path):
    check = """
assert z2.shape == (300, 200) and run.succeeded and slope == slope
assert groups.accuracy[0] < groups.accuracy[1]
"""
    out = _run([sys.executable, "-W", "error", "-c", "\n".join(SNIPPETS) + check], tmp_path)
    assert "0." in out


@pytest.mark.parametrize("command", [line for line in COMMANDS if not line.endswith("--help")])
def test_command_is_understood(command):
    program, *arguments = shlex.split(command)
    assert program == "gsdyn"
    assert callable(gsdyn.cli._parse(arguments).run)


@pytest.mark.parametrize(
    "command",
    [pytest.param(line, marks=[] if line.startswith(QUICK) else [pytest.mark.slow]) for line in COMMANDS],
)
def test_command(command, tmp_path):
    program, *arguments = shlex.split(command)
    assert program == "gsdyn"
    scripts = Path(sysconfig.get_path("scripts"))
    assert _run([str(scripts / "gsdyn"), *arguments], tmp_path)


@pytest.mark.parametrize("command", MAKE)
def test_make_target_exists(command):
    assert _run(["make", "--dry-run", *shlex.split(command)[1:]], ROOT)


def test_files_named_in_the_readme_exist():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    assert len(links) > 10
    for path in links:
        assert (ROOT / path).is_file(), path


@pytest.mark.slow
def test_make_run():
    before = _run(["git", "status", "--porcelain"], ROOT)
    out = _run(["make", "run"], ROOT)
    assert "figures" in out
    assert _run(["git", "status", "--porcelain"], ROOT) == before
