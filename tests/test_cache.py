"""The cache of compiled programs: where it lies, that it is used, that processes and kills do no harm to it."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

import gsdyn as gs
from gsdyn.cache import folder_of

PROGRAM = """
import sys
import jax
import jax.numpy as jnp
from jax import monitoring
import gsdyn as gs

seen = []
monitoring.register_event_listener(lambda event, **_: seen.append(event.rsplit("/", 1)[-1]))
jax.config.update("jax_enable_x64", True)
jax.jit(lambda x: x + 1)(1.0)  # a program that came before
assert str(gs.enable_cache(sys.argv[1])) == sys.argv[1]
response = jax.jit(lambda x: jnp.sin(x) @ x)(jnp.arange(5.0))
gs.enable_cache(sys.argv[1] + "-other")
jax.jit(lambda x: x + 2)(1.0)
print(response, seen.count("cache_hits"), seen.count("cache_misses"))
"""


@pytest.fixture
def nothing_set(monkeypatch, tmp_path):
    for name in ("GSDYN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_where_it_lies(nothing_set, monkeypatch):
    home = nothing_set
    assert folder_of(None)[1] == home / ".cache" / "gsdyn"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/mine")
    assert folder_of(None)[1] == Path("/var/tmp/mine/gsdyn")
    monkeypatch.setenv("GSDYN_CACHE", "~/here")
    assert folder_of(None) == ("GSDYN_CACHE", home / "here")
    assert folder_of("~/there") == ("path", home / "there")
    monkeypatch.setenv("GSDYN_CACHE", "Off")
    assert gs.enable_cache() is None


@pytest.mark.parametrize("path", ["", 3, "s3://bucket/cache", "/dev/null", "/dev/null/cache", "/proc/cache"])
def test_bad_folders_are_refused_and_change_nothing(path):
    before = jax.config.values.get("jax_compilation_cache_dir")
    with pytest.raises(ValueError, match="path must be") as caught:
        gs.enable_cache(path)
    assert "\n" not in str(caught.value)
    assert jax.config.values.get("jax_compilation_cache_dir") == before


@pytest.mark.usefixtures("kept_where_it_was")
def test_a_relative_folder_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gs.enable_cache("programs") == tmp_path / "programs"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "programs")


def test_processes_share_it_and_a_kill_leaves_nothing_in_the_way(tmp_path):
    folder = tmp_path / "cache"
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder)]

    def told(count):
        children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        texts = [child.communicate(timeout=300)[0] for child in children]
        assert [child.returncode for child in children] == [0] * count
        return [text.rsplit(maxsplit=2) for text in texts]

    first = told(2)
    assert next((tmp_path / "cache-other").glob("*-cache"))
    entry = next(folder.glob("jit_*-cache"))
    content = entry.read_bytes()
    entry.write_bytes(content[:100])  # killed while it wrote this
    entry.with_name(entry.name.replace("-cache", "-atime")).unlink()
    second = told(2)
    assert len({response for response, _, _ in first + second}) == 1
    assert all(int(hits) > 0 and int(misses) <= 2 for _, hits, misses in second)
    assert len(entry.read_bytes()) > 100
