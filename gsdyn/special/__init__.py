"""Special functions behind the closed forms: all jit, vmap and differentiate, in float64 and float32.

As in `scipy.special`, a value outside a function's domain gives NaN. The four names that `__all__` leaves out are for
`gsdyn.modes`: they take arrays of one shape and check nothing.
"""

from gsdyn.special._depth import depth_primitive, inverse_time_integral, time_integral
from gsdyn.special._depth import free_passage_time as free_passage_time
from gsdyn.special._depth import logit_after as logit_after
from gsdyn.special._depth import passage_time as passage_time
from gsdyn.special._expansion import largest_logit as largest_logit
from gsdyn.special._lambert import lambertw, r_lambertw, r_wright_omega, wright_omega
from gsdyn.special._log_ei import inverse_log_ei, log_plus_ei

__all__ = [
    "depth_primitive",
    "inverse_log_ei",
    "inverse_time_integral",
    "lambertw",
    "log_plus_ei",
    "r_lambertw",
    "r_wright_omega",
    "time_integral",
    "wright_omega",
]
