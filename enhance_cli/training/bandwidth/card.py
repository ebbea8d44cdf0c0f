"""Write the card of a bandwidth extender from nothing but the model's own header."""

from enhance_cli.models.spec import Spec
from enhance_cli.training.card import duration, provenance, rows_of_sources


def render(spec: Spec) -> str:
    """Return the card in Markdown."""
    training = spec.training
    recipe, data, scores = training["recipe"], training["data"], training["validation"]
    return f"""# {spec.name}

Makes the treble that a recording is missing, at {spec.sample_rate} Hz. {data["parameters"] / 1e6:.2f} M parameters.
Weights: {spec.licence}.

{provenance(training, spec.name)} x {recipe["mix"]["seconds"]:g} s,
{duration(training["audio_hours_seen"])} heard until the exported step {training["steps"]}.

## Data

{duration(data["hours"])} of recordings whose band reaches high enough. Licences: {training["licences"]}.

| source | weight | held out |
|---|---|---|
{rows_of_sources(recipe["data"]["sources"])}

## Validation

On {duration(data["hours_held_out"])} of held-out recordings, in dB: levels of missing bands are off by {scores["frames"]:.1f}
in a frame of 10 ms and by {scores["total"]:.1f} in a crop as a whole.

## Limits

{recipe["data"]["limits"].strip()}
"""
