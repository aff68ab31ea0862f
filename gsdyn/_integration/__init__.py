"""How a flow is integrated: the workshop behind `integration`."""
