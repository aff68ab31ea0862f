"""The cache of compiled programs: where it lies, that it is used, that processes and kills do no harm to it."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import gsdyn as gs
from gsdyn.cache import Programs, folder_of

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
    assert next((tmp_path / "cache-other").glob("*-program"))
    entry = next(folder.glob("jit_*-program"))
    content = entry.read_bytes()
    entry.write_bytes(content[:100])  # as a file system leaves it that writes names before contents
    second = told(2)
    assert len({response for response, _, _ in first + second}) == 1
    assert all(int(hits) > 0 and int(misses) <= 2 for _, hits, misses in second)
    assert len(entry.read_bytes()) > 100


def test_a_damaged_program_counts_as_absent_until_it_is_kept_again(tmp_path):
    programs = Programs(tmp_path / "there" / "is none yet")
    assert programs.get("key") is None
    programs.put("key", b"a program")
    assert programs.get("key") == b"a program"
    (entry,) = programs._path.iterdir()
    whole = entry.read_bytes()
    for damaged in (b"", whole[:3], whole[:-1], whole[:-1] + b"n", bytes([whole[0] ^ 1]) + whole[1:]):
        entry.write_bytes(damaged)
        assert programs.get("key") is None
    programs.put("key", b"another")
    assert programs.get("key") == b"another"


@pytest.mark.usefixtures("kept_where_it_was")
def test_what_was_not_used_for_longest_goes(tmp_path):
    gs.enable_cache(tmp_path)
    jax.config.update("jax_compilation_cache_max_size", 16_000)
    (tmp_path / "jit_old-cache").write_bytes(bytes(5000))  # kept by JAX itself, before
    (tmp_path / "notes").write_bytes(bytes(50_000))
    killed = [tmp_path / f".partial-{digit * 32}" for digit in "ab"]
    for staged in killed:
        staged.write_bytes(bytes(10))
    for path in (tmp_path / "jit_old-cache", killed[0]):
        os.utime(path, (0, 0))
    programs = Programs(tmp_path)
    for number in range(12):
        programs.put(str(number), bytes(1000))
        os.utime(tmp_path / f"{number}-program", (number + 1, number + 1))
    assert not (tmp_path / "jit_old-cache").exists()
    assert not killed[0].exists()  # of long ago; the other may be at work
    assert killed[1].exists()
    assert all(programs.get(str(number)) is not None for number in range(12))
    os.utime(tmp_path / "5-program", (0, 0))
    programs.get("5")
    for number in range(12, 22):
        programs.put(str(number), bytes(1000))
    kept = {number for number in range(22) if programs.get(str(number)) is not None}
    assert kept >= {5, *range(12, 22)}
    assert not kept & {0, 1, 2}
    assert 14 <= len(kept) <= 16
    assert (tmp_path / "notes").exists()


@pytest.mark.usefixtures("kept_where_it_was")
def test_jax_keeps_programs_where_its_private_names_are_gone(tmp_path, monkeypatch):
    monkeypatch.delattr("jax._src.compilation_cache")
    monkeypatch.setitem(sys.modules, "jax._src.compilation_cache", None)
    gs.enable_cache(tmp_path)
    jax.jit(lambda x: x + 3)(1.0)
    assert list(tmp_path.glob("*-cache"))
    assert not list(tmp_path.glob("*-program"))
