"""How a fixed point is found and certified: the workshop behind `fixed_points` and `kernel_fixed_points`."""
