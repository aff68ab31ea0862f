"""What a trained network relies on: its margins in input space, its worst groups, its use of colour."""

from gsdyn.probes.input_margin import InputMargins, input_margin

__all__ = ["InputMargins", "input_margin"]
