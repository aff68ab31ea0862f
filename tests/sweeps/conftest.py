"""Stores are compared byte by byte: the commit, which may change while tests run, stays out of them."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_commit():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gsdyn._provenance.git_commit", lambda: None)
        yield
