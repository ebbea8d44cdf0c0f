"""Share the header of converted models that extend bandwidth."""

from pathlib import Path
from typing import Any

from enhance_cli.models.spec import Spec


def extender_spec(source: Path, network: str, args: dict, **fields: Any) -> Spec:
    """Return the header of a network that makes 48 kHz in one step. `fields`: further fields of Spec."""
    return Spec(
        name=source.stem,
        task="extend-bandwidth",
        network=network,
        network_args=args,
        process="",
        frontend=None,
        sample_rate=48000,
        max_steps=1,
        samplers=(),
        **fields,
    )
