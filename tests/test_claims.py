"""The claims of both papers: complete, checked by what can fail, refuted where they are false as stated."""

import json

import numpy as np
import pytest

from gsdyn import closed_forms, modes
from gsdyn.cli import main
from gsdyn.cli._claims import IDS
from gsdyn.verification import checks, verify_claims
from gsdyn.verification._claims import Claim
from gsdyn.verification._registry import Check, Group, Trials

CHECKS = checks()
FALSE = {name for name, check in CHECKS.items() if check.claim.instead is not None}
# one of every group, those that compile little
CHEAP = [
    "P21-Def1",
    "P21-Eq4",
    "P21-Eq15",
    "P21-Eq16",
    "P21-Eq6",
    "P21-Eq10-limit",
    "P21-Eq12",
    "P21-Eq13-exact",
    "P21-Lemma1-uniform",
    "P21-Eq18",
    "C18-Eq13",
    "C18-Thm3.2",
    "C18-Eq14",
    "C18-Cor3.3",
    "C18-3.4",
    "C18-A.6",
    "C18-Thm4.1",
    "C18-Table1",
    "C18-Thm5.1-fair",
    "C18-Thm5.1-tight",
    "C18-Fig5",
    "beyond-Thm2-time-SD",
    "beyond-SD-ridgeless",
    "beyond-unlearning",
    "beyond-hard-margin",
    "beyond-gap",
    "beyond-Puli-SD",
    "beyond-Nagarajan-skew",
    "beyond-Shah-AUC",
]


def test_every_claim_is_data():
    assert len(CHECKS) > 60
    assert all(check.claim.id == name for name, check in CHECKS.items())
    assert {name.split("-")[0] for name in CHECKS} == {"P21", "C18", "beyond"}
    for check in CHECKS.values():
        claim = check.claim
        assert all((claim.statement, claim.method, claim.measure, check.short)), claim.id
        assert check.samples > 0
        assert "\n" not in claim.statement


def test_ids_are_unique():
    from gsdyn.verification.claims import GROUPS

    assert sum(len(group.checks) for group in GROUPS) == len(CHECKS)


@pytest.mark.parametrize("name", CHEAP)
def test_a_claim_comes_out_as_expected(name):
    findings = CHECKS[name].run(seed=3, samples=3)
    assert findings
    for finding in findings:
        assert finding.expected, (finding.worst, dict(finding.details))
        assert finding.verdict == ("false as stated" if name in FALSE else "holds")
        if name in FALSE:
            assert finding.details["counter-example"]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CHECKS))
def test_all_claims(name):
    assert all(finding.expected for finding in CHECKS[name].run(seed=7))


def wrong_lone_example(c, exact):
    alpha, margin = closed_forms.__dict__["_true"](c, exact)
    return alpha, margin * (1 + 1e-6)


@pytest.mark.parametrize("name", ["P21-Eq12", "P21-Eq13-exact"])
def test_a_wrong_closed_form_is_found_out(name, monkeypatch):
    monkeypatch.setattr(closed_forms, "_true", closed_forms._lone_example, raising=False)
    monkeypatch.setattr(closed_forms, "_lone_example", wrong_lone_example)
    (finding,) = CHECKS[name].run(samples=3)
    assert not finding.holds
    assert finding.verdict == "VIOLATED"
    assert set(finding.details["first violation"]) == {"s", "lam"}


def test_a_wrong_bound_is_found_out(monkeypatch):
    true = modes.rare_feature_bound
    monkeypatch.setattr(modes, "rare_feature_bound", lambda q, eps: true(0.9 * q, eps))
    assert not CHECKS["C18-Table1"].run(samples=4)[0].holds


def test_a_wrong_time_is_found_out(monkeypatch):
    true = modes.Mode.time_to
    monkeypatch.setattr(modes.Mode, "time_to", lambda self, u: true(self, u) * (1 + 1e-9))
    assert not CHECKS["C18-Eq14"].run(samples=3)[0].holds
    # a counter-example counts only where library and oracle agree on it
    assert CHECKS["C18-3.4"].run(samples=3)[0].expected
    monkeypatch.setattr(modes.Mode, "time_to", lambda self, u: true(self, u) * (1 + 1e-3))
    assert CHECKS["C18-3.4"].run(samples=3)[0].verdict == "NOT REFUTED"


def checked(errors, instead=None, tolerance=1.0):
    group = Group("test")
    register = group.check("T1", "t", "t", "t", "error", samples=3, tolerance=tolerance, instead=instead)
    register(lambda random, count: Trials(errors, {"x": np.arange(len(errors))}))
    return group.checks[0].run()[0]


def test_trials_become_a_finding():
    finding = checked([0.5, 2.0, 1.0])
    assert (finding.samples, finding.violations, finding.worst) == (3, 1, 2.0)
    assert finding.details["first violation"] == {"x": 1}
    assert checked([0.5, 1.0]).holds


def test_nan_is_a_violation_and_never_a_counter_example():
    finding = checked([0.5, np.nan])
    assert finding.violations == 1
    assert finding.details["first violation"] == {"x": 1}
    assert json.dumps(finding.worst, allow_nan=False)
    assert checked([0.5, np.nan], instead="other").verdict == "NOT REFUTED"
    assert checked([0.5, 2.0], instead="other").verdict == "false as stated"


def test_problems_depend_on_seed_and_claim_alone():
    def draw(random, count):
        return Trials(random.random(count))

    one, two = (Check(Claim(name, "", "", ""), "", 5, 1.0, draw) for name in ("A", "B"))
    assert one.run(1)[0].worst == one.run(1)[0].worst
    assert len({one.run(1)[0].worst, one.run(2)[0].worst, two.run(1)[0].worst}) == 3


def test_verify_claims_reports_and_tells():
    told = []
    report = verify_claims(["c18-table1", "P21-Eq15"], samples=2, progress=lambda *step: told.append(step))
    assert [f.claim.id for f in report.findings] == ["P21-Eq15", "C18-Table1"]
    assert report.holds
    assert told == [
        ("P21 starvation", 0, 1),
        ("P21 starvation", 1, 1),
        ("C18 rare feature", 0, 1),
        ("C18 rare feature", 1, 1),
    ]


def test_unknown_claims_are_named():
    with pytest.raises(ValueError, match="got 'P21-Eq99': did you mean"):
        verify_claims(["P21-Eq99"])


def test_their_names_are_known_before_anything_is_imported():
    assert list(CHECKS) == list(IDS)


def test_command_writes_both_formats(tmp_path, capsys):
    assert main(["verify", "C18-Table1", "C18-Thm5.1-tight", "--out", str(tmp_path / "deep")]) == 0
    out = capsys.readouterr().out
    assert "false as stated" in out
    assert "counter-example" in out
    content = json.loads((tmp_path / "deep" / "claims.json").read_text())
    assert [f["verdict"] for f in content["findings"]] == ["false as stated", "holds"]
    assert content["holds"] is True
    text = (tmp_path / "deep" / "claims.md").read_text()
    assert "| C18-Table1 | Table 1: the bound's values | 4 | 0 |" in text
    header = text.splitlines()[2]
    rows = [line for line in text.splitlines() if line.startswith("| C18")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {header.count("|")}


def test_command_fails_on_an_unexpected_verdict(monkeypatch, capsys):
    true = modes.rare_feature_bound
    monkeypatch.setattr(modes, "rare_feature_bound", lambda q, eps: true(0.9 * q, eps))
    assert main(["verify", "C18-Table1"]) == 1
    assert "VIOLATED" in capsys.readouterr().out


def test_command_lists(capsys):
    assert main(["verify", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CHECKS)
