"""Write the model card beside an exported checkpoint: its purpose, its training, its scores."""

from enhance_cli.models.spec import Spec
from enhance_cli.training.card import duration, provenance, rows_of_sources

BABBLE = "Babble mixed from four to eight training voices counts as noise.\n"


def render(spec: Spec) -> str:
    """Return the card in Markdown."""
    training = spec.training
    recipe = training["recipe"]
    scores, parameters = training["validation"], training["data"]["parameters"] / 1e6
    steps = "step" if spec.default_steps == 1 else "steps"
    how, process = "one call per frame, as a stream", ""
    if spec.process:
        how = f"1 to {spec.max_steps} sampler steps ({', '.join(spec.samplers)})"
        process = f"; process `{spec.process}`"
    return f"""# {spec.name}

{spec.task} at {spec.working_rate} Hz with {how}.
Network `{spec.network}`, {parameters:.2f} M parameters{process}. Weights: {spec.licence}.
{_first_stage(spec)}
{provenance(training, spec.name)} x {recipe["mix"]["seconds"]:g} s,
{duration(training["audio_hours_seen"])} of mixtures seen until the exported step {training["steps"]}.

## Data

{_data(training)}
## Validation

{recipe["train"]["validation_items"]} mixtures of held-out recordings, {spec.default_steps} {steps}:

| | {" | ".join(scores)} |
|---|{"---|" * len(scores)}
{_scores("noisy", training.get("validation_noisy", {}), scores)}{
        _scores(spec.first_stage, training.get("validation_first_stage", {}), scores)
    }{_scores(spec.name, scores, scores)}{_limits(recipe["data"])}"""


def _data(training: dict) -> str:
    data, recipe = training["data"], training["recipe"]["data"]
    licences = f"Licences: {training['licences'] or 'not stated'}."
    if "pairs" in data:
        shards = recipe.get("shards")
        where = shards["train"] if shards else recipe["pairs"]
        return f"{data['pairs']} pairs of noisy and clean recordings ({where}), {duration(data['pair_hours'])}. {licences}\n"
    return f"""{duration(data["speech_hours"])} of speech and {duration(data["noise_hours"])} of noise. {licences}
{BABBLE if training["recipe"]["mix"]["babble"] else ""}
| speech | weight | held out |
|---|---|---|
{rows_of_sources(recipe["speech"])}

| noise | weight | held out |
|---|---|---|
{rows_of_sources(recipe["noise"])}
"""


def _first_stage(spec: Spec) -> str:
    if not spec.first_stage:
        return ""
    rate, share = spec.sample_rate, spec.refinement
    return (
        f"It refines, below {rate // 2} Hz and at {rate} Hz, the estimate of `{spec.first_stage}`, which ships as a model of"
        f" its own.\nAbove that band the result is the first stage's estimate. Below, it is {1 - share:.2g} times that estimate"
        f" plus {share:.2g} times\nthe refined one.\n"
    )


def _limits(data: dict) -> str:
    return f"\n## Limits\n\n{data['limits'].strip()}\n" if data.get("limits") else ""


def _scores(name: str, scores: dict[str, float], columns: dict) -> str:
    return f"| {name} | {' | '.join(f'{scores[c]:.3f}' for c in columns)} |\n" if scores else ""
