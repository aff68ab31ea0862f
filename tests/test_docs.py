"""The documentation says what is there: every public name has an entry and an example, every example runs as written.

What runs for long waits for `make slow` and `make docs`; the site itself, executed, is built by `make docs`.
"""

import ast
import doctest
import importlib.util
import inspect
import operator
import re
import sys
import textwrap
from pathlib import Path

import jax
import numpy as np
import pytest

import gsdyn

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))

from _site import citations, index, public  # noqa: E402

from gsdyn.experiments.catalogue import Experiment  # noqa: E402

ENTRIES = public.everything()
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
CELLS = r"```(?:\{code-cell\}|python)\n(.*?)```"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(path):
    return re.findall(CELLS, path.read_text(), re.DOTALL)


def test_every_public_name_has_one_entry():
    listed = [f"{module}.{name}" for module, names in public.listed(DOCS / "api") for name in names]
    rest = [entry.path for entry in public.unlisted(DOCS / "api")]  # these come under "Everything else"
    assert sorted(listed + rest) == sorted(entry.path for entry in ENTRIES)


@pytest.mark.parametrize("module", public.modules())
def test_every_public_name_has_an_example(module):
    def has(value):
        if inspect.isclass(value) and issubclass(value, Experiment):
            return bool(value.__doc__)  # its docstring is the help of its command, which the gallery shows
        return not (inspect.isclass(value) or inspect.isroutine(value)) or ">>> " in (value.__doc__ or "")

    assert [entry.name for entry in public.names(module) if not has(entry.value)] == []


@pytest.mark.slow
@pytest.mark.parametrize("module", public.modules())
def test_examples_of_docstrings(module):
    setup = {}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=OPTIONS)
    with np.printoptions(), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        exec(blocks(DOCS / "api" / "index.md")[0], setup)
        for entry in public.names(module):
            places = [(entry.path, entry.value)]
            if inspect.isclass(entry.value):
                places += [(f"{entry.path}.{n}", getattr(entry.value, n)) for n, _ in public.members(entry.value)]
            for path, value in places:
                examples = parser.get_doctest(inspect.getdoc(value) or "", dict(setup), path, None, None)
                told = []
                failed, _ = runner.run(examples, out=told.append)
                assert not failed, "".join(told)


def test_every_equation_of_both_papers_is_named():
    assert [name for paper in index.NUMBERED for name in index.missing(paper)] == []


def test_citations_are_read():
    text = "the flow (P21-Eqs 9-11, 18; Lemma 2) and C18-Thm3.2, C18-A.4 (C18 Eq 4, Fig 3)"
    expected = "P21-Eq9 P21-Eq10 P21-Eq11 P21-Eq18 C18-Thm3.2 C18-A.4 C18-Eq4 C18-Fig3"
    assert citations.cited(text) == set(expected.split())
    assert [citations.base(name) for name in ("P21-Eq12-exact", "P21-Table4-hinge", "P21-B1", "P21-SD-G")] == [
        "P21-Eq12", "P21-Table4", "P21-B.1", "P21-SD-G",
    ]  # fmt: skip


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_pages_name_what_there_is(path):
    for block in blocks(path):
        ast.parse(textwrap.dedent(block))
    for name in re.findall(r"\bgs\.([A-Za-z_][\w.]*\w)", path.read_text()):
        operator.attrgetter(name)(gsdyn)


@pytest.mark.slow
def test_contributing_runs():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        names = {"__name__": "contributing"}
        exec("\n".join(blocks(ROOT / "CONTRIBUTING.md")), names)
    assert names["fp"].converged
    assert names["finding"].holds
    assert sorted(names["Decays"]().options()) == ["lams"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_the_page_about_pytorch():
    x, y, _ = gsdyn.data.digits()
    names = {"gs": gsdyn, "x": x[:20], "y": y[:20]}
    exec(blocks(DOCS / "tutorials" / "pytorch.md")[0], names)
    phi, model, torch = (names[name] for name in ("phi", "model", "torch"))
    step = 1e-6
    inputs = torch.as_tensor(np.array(x[:20]))
    weight = model[0].weight
    with torch.no_grad():
        before = model(inputs)[:, 0].numpy().copy()
        weight[0, 20] += step
        after = model(inputs)[:, 0].numpy()
    np.testing.assert_allclose(phi[:, 20], (after - before) / step, atol=1e-5)


def test_one_version_everywhere():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1] == gsdyn.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changes or f"## {gsdyn.__version__}" in changes


def test_the_readme_of_a_package_page(monkeypatch):
    monkeypatch.setenv("GSDYN_SOURCE_URL", "https://example.org/gsdyn/")
    spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.readme()
    links = re.findall(r"\]\(([^)]+)\)", text)
    tag = f"v{gsdyn.__version__}"
    assert f"https://example.org/gsdyn/raw/{tag}/figures/report.png" in links
    assert all(link.startswith("https://") for link in links)
    monkeypatch.delenv("GSDYN_SOURCE_URL")
    spec.loader.exec_module(module)
    assert module.readme() == (ROOT / "README.md").read_text()
