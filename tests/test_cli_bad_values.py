"""Every option of every command: a bad value is one line that names it, before anything heavy happens."""

import importlib
import re
import sys
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import pytest
import tyro

import gsdyn.cli
from gsdyn import _options
from gsdyn.cli import _console, main
from gsdyn.cli._axes import Axis
from gsdyn.cli._grid import Grid, parse_grid
from gsdyn.experiments.catalogue import EXPERIMENTS

sweeps = importlib.import_module("gsdyn.cli.sweep")
WRITTEN = {"figures", "results", "out", "keep"}
ZERO = {"seed", "integrated", "choice_seeds", "port", "lam2", "delta", "at_delta", "coefficients"}
"""Where 0 is a value like any other."""
LEFT_OUT = {"name", "command", "less"}, {bool}, {"attributes", "inputs"}
"""What is no option, what takes no value, and what may be any text, the empty one too."""

COMMANDS = {
    "curves": gsdyn.cli.Curves,
    "verify": gsdyn.cli.Verify,
    "verify thm2": gsdyn.cli.Theorem2,
    "diagnose --demo": gsdyn.cli.Diagnose,
    "explore": gsdyn.cli.Explore,
    "sweep fixed-point": sweeps.FixedPoint,
    "sweep starvation": sweeps.Starvation,
    "sweep trajectory": sweeps.Trajectory,
    "sweep mode-time": sweeps.ModeTime,
    "sweep function os:getcwd --axis x=1": sweeps.Function,
    **{f"reproduce {kind.command}": kind for kind in EXPERIMENTS},
}
NUMBERS = ["", "x", "nan", "-1", "1e400"]
RANGES = ["", "x", "nan", "inf", "1,,2", "1:2", "3:1:5", "1:2:1", "1:2:2.5", "1:2:99999999", "1:nan:3", "-1:0:2:log"]
ADDRESSES = ["", "s3://bucket/run", "~nobody-at-all/x"]
WORDS = {
    int: [*NUMBERS, "1.5", "inf", "-99999999999999999999999", "99999999999999999999999"],
    float: [*NUMBERS, "inf", "-inf"],
    str: ["", " "],
    Grid: RANGES,
    Axis: [word for word in RANGES if word != "1:2"],
    "budget": ["", "x", "nan", "-1", "0", "1e30", "1PB"],
    "written": [*ADDRESSES, "/dev/null/x/y.html"],
    "read": [*ADDRESSES, "nowhere.npy"],
    "choice": ["", "zero-one"],
}


def options(kind):
    """Its options: the name, what a value of it is, and the class of its bad words."""
    no, untested, free = LEFT_OUT
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name in no:
            continue
        plain = set(leaves(hint)) - {type(None), ...}
        if plain & untested or name in free or name == "axis":
            continue
        if any(isinstance(value, str) for value in plain):
            yield name, "choice"
        elif Path in plain:
            yield name, "written" if name in WRITTEN else "read"
        else:
            yield name, "budget" if name == "budget" else plain.pop()


def leaves(hint):
    """The plain types and choices in an annotation."""
    if get_origin(hint) is Annotated:
        return leaves(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [leaf for part in get_args(hint) for leaf in leaves(part)] if get_args(hint) else [hint]


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """What is wrong with how words are refused, or None."""
    monkeypatch.chdir(tmp_path)

    def work():
        raise RuntimeError("work began")

    for name in ("curves", "diagnose", "explore", "reproduce", "sweep", "verify"):
        monkeypatch.setattr(sys.modules[f"gsdyn.cli.{name}"], "start_jax", work)

    def call(words, name):
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        except RuntimeError as error:
            return str(error)
        out, err = capsys.readouterr()
        lines = err.splitlines()
        if code not in (1, 2) or out or len(lines) != 1 or not lines[0].startswith("gsdyn: error: "):
            return f"{code}: {out}{err}"
        if name.replace("_", "-") not in lines[0]:
            return lines[0]
        return f"left {next(tmp_path.iterdir())}" if any(tmp_path.iterdir()) else None

    return call


def as_words(command, name, word):
    if name in ("data", "claims", "function"):  # which have no flag
        return [*command.split()[:2], word] if name == "function" else [command.split()[0], word]
    return [*command.split(), f"--{name.replace('_', '-')}", *([word] * (2 if name == "image_size" else 1))]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_refuses_a_bad_value_before_the_work(command, refused):
    wrong = {}
    for name, what in options(COMMANDS[command]):
        word = WORDS[what][-1]
        told = refused(as_words(command, name, word), name)
        if told is not None:
            wrong[name, word] = told
    assert not wrong


ONE_OF_EACH = {
    "curves": ["s1", "at_lam", "integrated", "lam", "delta", "loss", "figures"],
    "diagnose --demo": ["out", "keep", "test", "data", "label", "image_size", "leading"],
    "sweep mode-time": ["norm", "samples", "budget", "out", "scheduler"],
    "verify": ["samples", "out", "claims"],
    "explore": ["port", "report"],
    "reproduce margin": ["coefficients", "folder"],
}


@pytest.mark.parametrize("command", ONE_OF_EACH)
def test_an_option_of_each_kind_refuses_every_bad_value(command, refused):
    kinds = dict(options(COMMANDS[command]))
    cases = [(name, word) for name in ONE_OF_EACH[command] for word in WORDS[kinds[name]]]
    told = {case: refused(as_words(command, *case), case[0]) for case in cases}
    assert not {case: what for case, what in told.items() if what is not None}


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_outside_the_domain_of_each_option_are_refused(command):
    """Without the parser, which takes most of the time: negative, none, infinite, and 0 where it is no value."""
    kind = COMMANDS[command]
    given = {"function": "os:getcwd"} if kind is sweeps.Function else {}
    for name, what in options(kind):
        values = {int: [-1, 2**70], float: [-1.0, float("nan"), float("inf")], Grid: [-1.0], Axis: [-1.0]}.get(what, [])
        for value in [*values, *([0.0 if what is float else 0] if values and name not in ZERO | {"times"} else [])]:
            typed = _typed(kind, name, what, value)
            with pytest.raises(ValueError, match=f"^{name.replace('_', '-')} must be .*, got "):
                _options.check(kind(**given, **{name: typed}))
    _options.check(kind(**given))


def _typed(kind, name, what, value):
    if what is Axis:
        return Axis(str(value), Grid(str(value), (value,)), "lin", False, True, False)
    if what is Grid:
        return Grid(str(value), (0.5, value))
    return (value,) * 2 if name in ("coefficients", "image_size") else value


@pytest.mark.parametrize("word", ["x", "=1", "1x=1:2:3", "x=", "x=0:1:4:int", ""])
def test_axes_of_a_function_are_refused(word, refused):
    assert refused(["sweep", "function", "os:getcwd", "--axis", word], "axis") is None


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["curves", "--lam", "1:2:10000", "--delta", "0:0.5:10000"], "lam"),
        (["curves", "--digits-images", "5", "--digits-features", "6"], "digits_features"),
        (["diagnose", "--demo", "--out"], "out"),
        (["diagnose", "--demo", "--out", "a.html", "a.html"], "out"),
        (["diagnose", "--demo", "--out", "a.html", "/dev/null/b.json"], "out"),
        (["diagnose"], "data"),
        (["sweep", "mode-time", "--norm", "1:2"], "norm"),
        (["sweep", "mode-time", "--samples", "5", "--norm", "1,2"], "norm"),
        (["sweep", "function", "os:getcwd", "--axis", "x=1:2"], "x"),
        (["curves", "--no-such"], "no-such"),
        (["curves", "1"], "1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, name, refused):
    assert refused(words, name) is None


@pytest.mark.parametrize("group", gsdyn.cli.GROUPS)
def test_all_commands_are_known_before_they_are_parsed(group, capsys):
    with pytest.raises(SystemExit):
        gsdyn.cli.app.cli(prog="gsdyn", args=[*group, "foo"], registry=gsdyn.cli.REGISTRY)
    told = re.split(r"──|-----", capsys.readouterr().err.replace("│", "").split("Available subcommands: ")[1])[0]
    assert tuple("".join(told.split()).split(",")) == gsdyn.cli.GROUPS[group]


def test_only_options_that_make_a_list_are_given_again():
    repeated = {
        f"--{name}"
        for kind in COMMANDS.values()
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if tyro.conf.UseAppendAction in getattr(hint, "__metadata__", ())
    }
    assert repeated == set(_console.REPEATED)
    command = gsdyn.cli._parse(["sweep", "function", "os:getcwd", "--axis", "x=1:2:2", "--axis", "y=1:2:3"])
    assert len(command.axis) == 2


def test_none_is_the_default_that_it_was():
    assert parse_grid("1", "log").numbers == (1.0,)
    assert gsdyn.cli._parse(["curves", "--at-lam", "None"]) == gsdyn.cli.Curves()
