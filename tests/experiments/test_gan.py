"""Eight Gaussians: the data, what counts as covered, and two networks against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn.experiments import _gan_runs as runs_of
from gsdyn.experiments._c18_tables import table_gan
from gsdyn.experiments.gan import gan
from gsdyn.plotting.gan import draw_gan


def test_points_lie_about_their_centres():
    points = np.asarray(gs.data.ring(4000, jax.random.key(1), width=0.02))
    centres = np.asarray(gs.data.ring_centres())
    np.testing.assert_allclose(np.hypot(*centres.T), 1, rtol=1e-12)
    away = points[:, None] - centres[None]
    nearest = np.linalg.norm(away, axis=2).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest) / 4000, 1 / 8, atol=0.02)
    np.testing.assert_allclose(away[np.arange(4000), nearest].std(), 0.02, rtol=0.05)
    with pytest.raises(ValueError, match=r"width must be .*, got -1"):
        gs.data.ring(4, jax.random.key(0), width=-1.0)


def test_coverage_counts_what_lies_within_three_widths():
    centres = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    samples = np.array([[0.29, 0.0], [0.0, -0.31], [1.0, 0.2], [1.1, 0.0], [np.nan, 0.0], [0.5, 0.5]])
    found = gs.probes.coverage(samples, centres, 0.1)
    assert int(found.covered) == 2
    assert float(found.good) == pytest.approx(0.5)
    shares, even = np.array([1 / 3, 2 / 3, 0.0]), np.full(3, 1 / 3)
    middle = (shares + even) / 2
    terms = [p * np.log(p / m) for row in (shares, even) for p, m in zip(row, middle, strict=True) if p]
    assert float(found.divergence) == pytest.approx(sum(terms) / 2, rel=1e-12)
    assert float(gs.probes.coverage(centres, centres, 0.1).divergence) == pytest.approx(0, abs=1e-15)
    assert np.isnan(gs.probes.coverage(centres + 50, centres, 0.1).divergence)
    with pytest.raises(ValueError, match="samples and centres must have rows of one length"):
        gs.probes.coverage(samples, centres[:, :1], 0.1)


def test_losses_are_those_of_the_paper():
    real, fake = np.array([2.0, -0.5]), np.array([0.3, -4.0])
    cross, hinge = runs_of.LOSSES
    both = [runs_of.discriminator_loss(loss, jnp.asarray(real), jnp.asarray(fake)) for loss in (cross, hinge)]
    assert float(both[0]) == pytest.approx(np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean())
    assert float(both[1]) == pytest.approx(np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean())
    assert float(runs_of.generator_loss(hinge, jnp.asarray(fake))) == pytest.approx(-fake.mean())
    assert float(runs_of.generator_loss(cross, jnp.asarray(fake))) == pytest.approx(np.log1p(np.exp(-fake)).mean())


@pytest.mark.slow
def test_a_pair_of_networks_is_trained_kept_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(runs_of, "HIDDEN", (8, 8))
    monkeypatch.setattr(runs_of, "SAMPLES", 600)
    settings = {"seeds": 1, "steps": 4, "records": 2, "batch": 8, "runs": tmp_path}
    first = gan(**settings)
    assert first["covered"].dims == ("loss", "seed", "step")
    table = table_gan(first)
    assert [row[:2] for row in table.rows] == [(loss, step) for loss in runs_of.LOSSES for step in (2.0, 4.0)]
    assert first["samples"].sizes["sample"] == 500
    assert list(first["step"].values) == [2, 4]
    # another loss trains another generator from the same start
    samples = first["samples"].isel(shown_step=-1, seed=0).values
    assert np.isfinite(samples).all()
    assert not np.allclose(samples[0], samples[1])
    monkeypatch.setattr(runs_of, "run", None)  # what is kept is not done again
    assert gan(**settings).identical(first)
    figure = draw_gan(first)
    assert len(figure.get_axes() or figure.subfigs[0].get_axes()) >= 3


def test_bad_settings_are_told():
    with pytest.raises(ValueError, match="records must divide the 5 steps, got 2"):
        gan(steps=5, records=2)
    with pytest.raises(ValueError, match="discriminator_steps must be at least 1, got 0"):
        gan(discriminator_steps=0)


@pytest.mark.slow
def test_the_discriminator_moves_so_often_and_the_generator_once(monkeypatch):
    """One round by hand: Adam's first step is the rate against the gradient's sign, for both networks."""
    monkeypatch.setattr(runs_of, "HIDDEN", (6,))
    players, key = runs_of.start(jax.random.key(0)), jax.random.key(5)
    for rounds in (1, 3):
        moved = runs_of.step("hinge", players, key, 16, 0.1, rounds)
        assert int(moved.discriminator_state[0].count) == rounds
        assert int(moved.generator_state[0].count) == 1
    once = runs_of.step("hinge", players, key, 16, 0.1)
    for before, after in zip(players[:2], once[:2], strict=True):
        change = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), after, before)
        np.testing.assert_allclose(max(jax.tree.leaves(change)), 1e-4, rtol=0.02)
