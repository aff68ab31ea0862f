"""Ten ways to train on the two moons (P21 Fig 7)."""

from gsdyn.plotting.moons import draw_regularisers as draw_moons_regularisers

__all__ = ["draw_moons_regularisers"]
