"""Print `enhance verify` of one pair: both scores, and the decision with the origin of its threshold.

A threshold holds for speech like that of the trials it was found on. Within the uncertain range of scores
(metrics.trials.uncertain_range) a decision is called uncertain.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enhance_cli.console import result, result_json, say
from enhance_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.commands.verify.trials import Trials
    from enhance_cli.models.spec import Spec


@dataclass(frozen=True)
class Rule:
    """Decide for one speaker from the cosine `threshold` on, uncertain within `doubt`.

    `origin`: source of the threshold.
    """

    threshold: float
    doubt: tuple[float, float] | None
    origin: str


def rule(threshold: float | None, doubt: tuple[float, float] | None, spec: "Spec") -> Rule | None:
    """Return the requested rule, else that of the model's header, or None if neither has a threshold.

    The uncertain range in a header belongs to its own threshold only. Raises UsageError for a threshold outside of its
    range.
    """
    training = spec.training
    if threshold is not None:
        origin = "--threshold"
    elif "threshold" in training:
        threshold, doubt = training["threshold"], doubt or training.get("uncertain")
        origin = f"{spec.name}'s equal error rate over {_trials(training)}, for speech like that only"
    else:
        return None
    if doubt and not doubt[0] <= threshold <= doubt[1]:
        said = f"--uncertain {doubt[0]:g} {doubt[1]:g} does not hold the threshold {threshold:g}"
        raise UsageError(said, "give a cosine below the threshold and one above")
    return Rule(threshold, (doubt[0], doubt[1]) if doubt else None, origin)


def decide(
    wanted: "Trials", raw: "np.ndarray", repaired: "np.ndarray", by: Rule | None, *, model: str, json: bool
) -> None:
    """Print one pair's scores, and the decision `by` a rule if there is one."""
    a, b = wanted.pairs[0]
    scores = {"raw": float(raw[a] @ raw[b]), "repaired": float(repaired[a] @ repaired[b])}
    same = scores["repaired"] >= by.threshold if by else None
    uncertain = by.doubt[0] < scores["repaired"] < by.doubt[1] if by and by.doubt else None
    if json:
        facts: dict[str, object] = {"a": wanted.names[a], "b": wanted.names[b], **scores}
        facts |= {"threshold": by.threshold if by else None, "same": same, "uncertain": uncertain}
        facts |= {
            "uncertain_range": by.doubt if by else None,
            "threshold_from": by.origin if by else None,
            "model": model,
        }
        result_json(facts)
        return
    said = "  ".join(f"{name} {score:.4f}" for name, score in scores.items())
    if by is None:
        result(said)
        say(f"{model} states no threshold: give one with --threshold; --trials finds one")
        return
    verdict = "the same speaker" if same else "different speakers"
    result(f"{said}  threshold {by.threshold:.4f}  {'uncertain, rather ' if uncertain else ''}{verdict}")
    if by.origin != "--threshold":
        between = " from {:.4f} to {:.4f} it is uncertain;".format(*by.doubt) if by.doubt else ""
        say(f"threshold: {by.origin};{between} for other speech find one with --trials and give it with --threshold")


def _trials(training: dict) -> str:
    """Describe the trials on which the threshold in a model's header was found."""
    data = training.get("data", {})
    if "trial_speakers" not in data:
        return "speech held out of its training"
    counts = f"{data['trial_utterances']} recordings of {data['trial_speakers']} speakers"
    return f"{counts} held out of its training, clean and degraded"
