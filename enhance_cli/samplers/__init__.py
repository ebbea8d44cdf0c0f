"""Collect the samplers, one file each: sample(estimate, process, y, steps, noise, **settings) -> clean estimate.

`noise()` gives one draw like y, standard normal times the process's `noise_scale`. PAIRINGS lists the processes whose
formulas each sampler solves (BBED's ODE is too stiff near t = 1 for steps of equal length).
"""

from importlib import import_module
from typing import Any

from enhance_cli.catalogue import Catalogue

SAMPLERS = Catalogue(
    "sampler",
    __name__,
    {
        "bridge_ode": "bridge_ode:sample",
        "bridge_sde": "bridge_sde:sample",
        "consistency": "consistency:sample",
        "predictor_corrector": "predictor_corrector:sample",
        "probability_flow": "probability_flow:sample",
        "flow_euler": "flow_euler:sample",
        "ddim": "ddim:sample",
        "heun": "heun:sample",
        "edm_stochastic": "edm_stochastic:sample",
    },
)

_BRIDGES = frozenset({"brownian_bridge", "schroedinger_bridge_ve", "schroedinger_bridge_vp"})
PAIRINGS = {
    "bridge_ode": _BRIDGES,
    "bridge_sde": _BRIDGES,
    "consistency": _BRIDGES | {"ouve", "bbed", "flow_matching", "edm"},
    "predictor_corrector": frozenset({"ouve", "bbed"}),
    "probability_flow": frozenset({"ouve"}),
    "flow_euler": frozenset({"flow_matching"}),
    "ddim": frozenset({"ddpm"}),
    "heun": frozenset({"edm"}),
    "edm_stochastic": frozenset({"edm"}),
}


def calls(sampler: str, steps: int, **settings: Any) -> int:
    """Return the number of network calls that `sampler` makes in `steps` steps.

    It is one call per step unless the sampler's module defines `calls`. `settings` are the sampler's own.
    """
    module = import_module(SAMPLERS[sampler].__module__)
    return module.calls(steps, **settings) if hasattr(module, "calls") else steps
