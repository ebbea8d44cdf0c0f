"""The model card that lies beside an exported checkpoint: what it is, what it was made from, and how well it does."""

from enhance_cli.models.spec import Spec


def render(spec: Spec) -> str:
    """Markdown, from nothing but the model's own header."""
    training = spec.training
    recipe, data = training["recipe"], training["data"]
    stages = "; ".join(f"{s['steps']} batches of {s['loss']} at lr {s['lr']:g}" for s in recipe["stage"])
    scores = training["validation"]
    batch, seconds = recipe["train"]["batch_size"], recipe["mix"]["seconds"]
    steps = "step" if spec.default_steps == 1 else "steps"
    name, commit = recipe.get("name", spec.name), training["commit"][:12] or "unknown"
    return f"""# {spec.name}

{spec.task} at {spec.sample_rate} Hz with 1 to {spec.max_steps} sampler steps ({", ".join(spec.samplers)}).
Network `{spec.network}`, {data["parameters"] / 1e6:.2f} M parameters; process `{spec.process}`. Weights: {spec.licence}.

Trained with `enhance train {name} --data CORPUS` at commit {commit} on {training["date"]}
({data["device"]}): {stages}; batches of {batch} x {seconds:g} s, {training["audio_hours_seen"]} h of mixtures
seen until the exported step {training["steps"]}.

## Data

{data["speech_hours"]} h of speech and {data["noise_hours"]} h of noise. Licences: {training["licences"]}.
Babble mixed from four to eight training voices, and ambiences that hold distant voices, count as noise.

| speech | weight | held out |
|---|---|---|
{_rows(recipe["data"]["speech"])}

| noise | weight | held out |
|---|---|---|
{_rows(recipe["data"]["noise"])}

## Validation

{recipe["train"]["validation_items"]} mixtures of held-out voices and noises, {spec.default_steps} {steps}:

| | {" | ".join(scores)} |
|---|{"---|" * len(scores)}
{_scores("noisy", training.get("validation_noisy", {}), scores)}{_scores(spec.name, scores, scores)}
## Limits

Speech only: music is noise to it. Training heard read speech and commands in eight languages; no whispering, shouting or
singing. Voices far behind the main one are taken for noise.
"""


def _rows(sources: list[dict]) -> str:
    return "\n".join(f"| {s['folder']} | {s['weight']:g} | {s['held_out']:.0%} |" for s in sources)


def _scores(name: str, scores: dict[str, float], columns: dict) -> str:
    return f"| {name} | {' | '.join(f'{scores[c]:.3f}' for c in columns)} |\n" if scores else ""
