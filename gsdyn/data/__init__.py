"""Data sets, one file each; those here install with the package."""

from gsdyn.data.digits import Digits, digits
from gsdyn.data.moons import Moons, moons

__all__ = ["Digits", "Moons", "digits", "moons"]
