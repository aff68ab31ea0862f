"""The architecture holds: imports run downwards, files stay short, start-up stays light."""

import ast
import doctest
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gsdyn"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60  # beside the docstring
HEAVY = ("jax", "scipy", "matplotlib", "diffrax", "equinox", "sklearn", "xarray", "neural_tangents")

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]
HELP = "import sys; from gsdyn.cli import main; sys.argv = ['gsdyn', '--help']; main()"


def _exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _contract(contract: dict):
    """A contract as a test case, expected to fail while it names a module yet unwritten."""
    named = contract.get("source_modules", []) + contract.get("forbidden_modules", [])
    missing = [module for module in named if not _exists(module)]
    unwritten = pytest.mark.xfail(bool(missing), reason=f"unwritten: {missing}")
    return pytest.param(contract, id=contract["id"], marks=unwritten)


@pytest.mark.parametrize("contract", [_contract(contract) for contract in CONTRACTS])
def test_import_contract(contract):
    lint = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run([lint, "--no-cache", "--contract", contract["id"]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    lines = len(text.splitlines()) - examples(text)
    assert lines <= MAX_FILE_LINES, f"{path.name} has {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = len((ast.get_docstring(node) or "").splitlines())
            length = node.end_lineno - node.lineno + 1 - docstring
            assert length <= MAX_FUNCTION_LINES, f"{path.name}: {node.name} has {length} lines"


def examples(text: str) -> int:
    """How many lines the examples of docstrings take, which the limit does not count."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    told = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    found = [example for docstring in told for example in doctest.DocTestParser().get_examples(docstring)]
    return sum(len((example.source + example.want).splitlines()) for example in found)


def _imported_by(*arguments: str) -> set[str]:
    """The top-level modules a fresh interpreter has loaded after running with these arguments."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {row.rsplit("|", 1)[1].strip().split(".")[0] for row in rows}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-c", "import gsdyn"), id="import gsdyn"),
        pytest.param(
            ("-c", HELP),
            id="gsdyn --help",
            marks=pytest.mark.xfail(not _exists("gsdyn.cli"), reason="unwritten: gsdyn.cli"),
        ),
    ],
)
def test_start_up_imports_nothing_heavy(arguments):
    assert not _imported_by(*arguments) & set(HEAVY)


def test_importtime_sees_a_heavy_import():
    assert "jax" in _imported_by("-c", "import jax")


def test_the_page_about_the_layout_names_every_module():
    page = (ROOT / "docs" / "layout.md").read_text()
    named = {name for cell in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    present = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert named == present - {"__init__", "__main__"}
