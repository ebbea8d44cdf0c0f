"""Write the card of a stem extractor from nothing but the model's own header."""

from pathlib import PurePath

from enhance_cli.models.spec import Spec
from enhance_cli.training.card import duration, provenance


def render(spec: Spec) -> str:
    """Return the card in Markdown."""
    training = spec.training
    recipe, data, scores = training["recipe"], training["data"], training["validation"]
    rendered = recipe["data"]["rendered"] or {"soundfonts": [], "drum_kits": [], "held_out_soundfonts": []}
    notes = [folder for folders in rendered.get("notes", {}).values() for folder in folders]
    sounds = "\n".join(f"- `{path}`" for path in [*rendered["soundfonts"], *rendered["drum_kits"], *notes])
    held_out = ", ".join(PurePath(path).name for path in rendered["held_out_soundfonts"]) or "none"
    recorded = ", ".join(f"`{folder}`" for folder in recipe["data"]["folders"]) or "none"
    rows = "\n".join(f"| {stem} | {scores.get(f'si_sdri_{stem}', float('nan')):.2f} |" for stem in spec.stems)
    return f"""# {spec.name}

Takes {", ".join(spec.stems)} out of a mix at {spec.sample_rate} Hz. {data["parameters"] / 1e6:.2f} M parameters.
Weights: {spec.licence}.

{provenance(training, spec.name)} x {recipe["mix"]["seconds"]:g} s,
{duration(training["audio_hours_seen"])} of mixes heard until the exported step {training["steps"]}.

## Data

{data["songs"]} songs ({duration(data["song_hours"])}), rendered from MIDI files and from random scores with those of the
soundfonts and recorded notes below that were there. Songs recorded as stems: {recorded}.
Licences: {training["licences"]}.

{sounds}

## Validation

SI-SDR improvement over the mix in dB where the stem plays; {data["songs_held_out"]} songs that were held out, played with
soundfonts that were held out ({held_out}):

| stem | SI-SDR improvement |
|---|---|
{rows}
| mean | {scores["si_sdri"]:.2f} |

## Limits

{recipe["data"]["limits"].strip()}
"""
