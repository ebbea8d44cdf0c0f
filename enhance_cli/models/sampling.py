"""Merge the settings of a sampler: the model's own under the user's."""

from inspect import Parameter, signature

from enhance_cli.errors import UsageError
from enhance_cli.models.spec import Spec
from enhance_cli.samplers import PAIRINGS, SAMPLERS

FLAGS = {"start": "--sampler-start"}


def sampler_settings(spec: Spec, sampler: str, given: dict, flags: dict[str, str] = FLAGS) -> dict:
    """Return the settings of `sampler`: those of the model, replaced by those `given` by the user.

    `flags` says how a setting is spelled on the command line where that is not its name. Raises UsageError for a process
    that the sampler does not hold for, and for settings that it does not have.
    """
    if spec.process not in PAIRINGS[sampler]:
        fitting = [name for name, processes in PAIRINGS.items() if spec.process in processes]
        raise UsageError(
            f"--sampler {sampler}: its formulas do not hold for the process {spec.process}",
            f"choose from {', '.join(fitting)}",
        )
    parameters = signature(SAMPLERS[sampler]).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind == Parameter.KEYWORD_ONLY]
    for name in given:
        if name not in known:
            flag = flags.get(name, "--" + name.replace("_", "-"))
            raise UsageError(f"{flag}: the sampler {sampler} has no such setting", "leave it away")
    return spec.sampler_args.get(sampler, {}) | given
