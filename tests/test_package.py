"""`import gsdyn as gs` gives everything that is public by attribute, and loads it only then."""

import pkgutil
import subprocess
import sys

import pytest

import gsdyn as gs

FOUND = [module.name for module in pkgutil.iter_modules(gs.__path__) if module.ispkg]
PACKAGES = [name for name in FOUND if not name.startswith("_") and name != "cli"]


def test_every_subpackage_is_an_attribute_and_heavy_libraries_wait_for_their_use():
    code = f"""
import sys
import gsdyn as gs
gs.data, gs.kernels, gs.verification
assert not {{"sklearn", "pandas", "zarr", "matplotlib", "bokeh", "dask"}} & set(sys.modules)
print(*[getattr(gs, name).__name__ for name in {PACKAGES}])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"gsdyn.{name}" for name in PACKAGES]
    assert set(PACKAGES) <= set(gs.__all__)
    assert {"training", "plotting", "experiments", "verification"} <= set(PACKAGES)


@pytest.mark.parametrize("name", gs.__all__)
def test_every_public_name_is_there(name):
    assert getattr(gs, name) is not None
    assert name in dir(gs)


def test_what_there_is_not_is_told():
    with pytest.raises(AttributeError, match="module 'gsdyn' has no attribute 'nothing'"):
        gs.nothing  # noqa: B018
