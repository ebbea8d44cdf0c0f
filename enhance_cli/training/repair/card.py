"""Write the card of an embedding repair from nothing but the model's own header."""

from enhance_cli.models.spec import Spec
from enhance_cli.training.card import duration, provenance, rows_of_sources


def render(spec: Spec) -> str:
    """Return the card in Markdown."""
    training = spec.training
    recipe, data = training["recipe"], training["data"]
    before, after = training["validation_raw"], training["validation"]
    rows = "\n".join(
        f"| {name} | {before[name]:.2f} | {after[name]:.2f} | {_change(before, after, name)} |" for name in after
    )
    sources = [*recipe["data"]["speech"], *recipe["data"]["noise"], *recipe["data"]["music"]]
    return f"""# {spec.name}

Repairs embeddings of the extractor `{spec.extractor_id}` ({spec.embedding_dimension} numbers) that come from bad
recordings, in one step from time {spec.default_time:g}. Network `{spec.network}`, {data["parameters"] / 1e6:.2f} M parameters;
process `{spec.process}`. Weights: {spec.licence}.

{provenance(training, spec.name)} from
{data["crops"]} crops of {recipe["views"]["seconds"]:g} s embedded in six conditions; exported at step {training["steps"]}.

## Data

{duration(data["speech_hours"])} of speech, {duration(data["noise_hours"])} of noise, {duration(data["music_hours"])} of music.
Licences: {training["licences"]}.

| source | weight | held out |
|---|---|---|
{rows_of_sources(sources)}

## Validation

Equal error rate in percent over all pairs of {data["trial_utterances"]} utterances of {data["trial_speakers"]} held-out
voices, with held-out noises and rooms. "noise": both sides noisy; "clean-noise": one of them; "crossed": both degraded, each
in another way; "degraded": the mean of all but "clean". The model was chosen by these, so on other voices expect less.

| | raw | repaired | change |
|---|---|---|---|
{rows}

## Limits

{recipe["data"]["limits"]}
"""


def _change(before: dict, after: dict, name: str) -> str:
    return f"{after[name] / before[name] - 1:+.0%}" if before[name] else ""
