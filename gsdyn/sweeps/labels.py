"""What the numbers of a sweep are called and measured in."""

from __future__ import annotations

import dataclasses

from gsdyn import _checks


@dataclasses.dataclass(frozen=True)
class Label:
    """The description of a parameter or of a result.

    - `name`: in words; empty for none.
    - `units`: "1" for pure numbers (the default, as everywhere in gsdyn), or for example "s"; None leaves it open.
    - `dims`: names of the dimensions that one cell's value has of its own, in order.

        >>> ds = gs.sweep(lambda t: 2 * t, {"t": [1.0, 2.0]}, labels={"t": gs.sweeps.Label("time", "s")})
        >>> print(ds["t"].attrs["units"])
        s
    """

    name: str = ""
    units: str | None = "1"
    dims: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError(f"name must be words, got {_checks.in_short(self.name)}")
        if not isinstance(self.units, str | None):
            raise ValueError(f"units must be words or None, got {_checks.in_short(self.units)}")
        if not isinstance(self.dims, tuple | list) or not all(isinstance(dim, str) and dim for dim in self.dims):
            raise ValueError(f"dims must be a tuple of names, got {_checks.in_short(self.dims)}")
        object.__setattr__(self, "dims", tuple(self.dims))

    def attributes(self) -> dict[str, str]:
        """As attributes of an `xarray` variable."""
        named = {"long_name": self.name} if self.name else {}
        return named if self.units is None else {**named, "units": self.units}
