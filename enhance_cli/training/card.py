"""Describe in a model's card how it was trained, from nothing but the header of the model."""

import shlex


def rows_of_sources(sources: list[dict]) -> str:
    """Return the rows of a table of data sources: folder, weight, share that is held out."""
    return "\n".join(f"| {s['folder']} | {s['weight']:g} | {s['held_out']:.0%} |" for s in sources)


def duration(hours: float) -> str:
    """Return an amount of audio in hours, or below one hour in minutes."""
    return f"{hours:.4g} h" if hours >= 1 else f"{60 * hours:.3g} min"


def provenance(training: dict, name: str) -> str:
    """Return the beginning of a sentence about the training.

    training: that of the header. name: name of the recipe if an old header has none.
    """
    recipe = training["recipe"]
    train, name = recipe["train"], recipe.get("name", name)
    command = f"distill {name} --teacher {training['teacher']}" if training.get("teacher") else f"train {name}"
    command += "".join(f" --set {shlex.quote(said)}" for said in recipe.get("settings", ()))
    start = f" from the weights of {train['start']}" if train.get("start") else ""
    stages = "; ".join(f"{s['steps']} batches of {s['loss']} at lr {s['lr']:g}" for s in recipe["stage"])
    size = train["batch_size"] * train.get("accumulate", 1) * training.get("processes", 1)
    return f"""Trained with `enhance {command} --data CORPUS` at commit {training["commit"][:12] or "unknown"} on
{training["date"]} ({training["data"]["device"]}){start}: {stages}; batches of {size}"""
