"""Write the header of a published separator: one network that gives all stems in one call, without a refiner."""

from typing import Any

from enhance_cli.models.spec import Spec


def separator_spec(name: str, network: str, network_args: dict, **fields: Any) -> Spec:
    """Return the header of the model `name` whose extractor is `network`. `fields`: those of Spec that differ."""
    usual: dict[str, Any] = {"normalise": "none", "complete": True, "samplers": ("none",)}
    usual |= dict.fromkeys(("min_steps", "max_steps", "default_steps"), 0)
    return Spec(
        name=name,
        task="extract-stem",
        network="stem_pair",
        network_args={"extractor": {"network": network, **network_args}},
        process="edm",
        frontend=None,
        **usual | fields,
    )
