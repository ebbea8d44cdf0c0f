"""Samplers: sample(estimate, process, y, steps, noise) -> clean estimate; one file each."""

from enhance_cli.catalogue import Catalogue

SAMPLERS = Catalogue(
    "sampler",
    __name__,
    {
        "bridge_ode": "bridge_ode:sample",
        "bridge_sde": "bridge_sde:sample",
    },
)
