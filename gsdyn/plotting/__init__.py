"""Figures from datasets. Nothing here solves anything."""

from gsdyn.plotting.curves import draw_curves
from gsdyn.plotting.digits import draw_matrices, draw_responses
from gsdyn.plotting.starvation_map import draw_map
from gsdyn.plotting.style import save

__all__ = ["draw_curves", "draw_map", "draw_matrices", "draw_responses", "save"]
