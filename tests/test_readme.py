"""Every snippet and command of the README runs as a reader would run it."""

import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line for line in LINES if line and not line.startswith("make ")]
MAKE = [line for line in LINES if line.startswith("make ")]


def _run(arguments: list[str], cwd: Path) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_snippets_run_one_after_the_other(tmp_path):
    assert len(SNIPPETS) == 3
    check = "\nassert z2.shape == (300, 200) and trajectory.succeeded and slope == slope\n"
    out = _run([sys.executable, "-W", "error", "-c", "\n".join(SNIPPETS) + check], tmp_path)
    assert "0." in out


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, tmp_path):
    program, *arguments = shlex.split(command)
    assert program == "gsdyn"
    scripts = Path(sysconfig.get_path("scripts"))
    assert _run([str(scripts / "gsdyn"), *arguments], tmp_path)


@pytest.mark.parametrize("command", MAKE)
def test_make_target_exists(command):
    assert _run(["make", "--dry-run", *shlex.split(command)[1:]], ROOT)


def test_files_named_in_the_readme_exist():
    for path in re.findall(r"\]\((figures/[^)]+)\)", README):
        assert (ROOT / path).is_file(), path
    for cell in re.findall(r"^\| (`.*?) \|", README, re.MULTILINE):
        folder = ""
        for name in re.findall(r"`([^`]+)`", cell):
            place = name if "/" in name and (ROOT / name).exists() else folder + name
            assert (ROOT / place).exists(), place
            folder = "gsdyn/" if place.startswith("gsdyn/") else ""


@pytest.mark.slow
def test_make_run():
    out = _run(["make", "run"], ROOT)
    assert "figures" in out
