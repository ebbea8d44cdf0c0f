"""Run `enhance report`: sum up the records of one or more runs that --report has written."""

from pathlib import Path
from typing import Annotated

import typer

from enhance_cli.commands.reporting import refuse_page, writing_page
from enhance_cli.console import result, result_line, say, span
from enhance_cli.flags.output import Page, PageEmbed
from enhance_cli.flags.running import Quiet

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE.jsonl", help="Reports, or - for standard input; several count as one.")
]
Whole = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, with every input by reason.")]

NAMED = 20  # embeddings, of those that could not be used


def report(
    files: Files,
    json: Whole = False,
    page: Page = None,
    page_embed: PageEmbed = False,
    quiet: Quiet = False,
) -> None:
    """Sum up reports: done, skipped and failed by reason, unusable embeddings, hours, real-time factor, loudness.

    If an input has several records, the last one counts, so a report may cover many runs of the same command.
    """
    from enhance_cli.batch.reports import read, summary

    found = read(files)
    facts = summary(found.records)
    refuse_page(page, page_embed, len(found.records))
    with writing_page(page, embed=page_embed, quiet=quiet) as add:
        for record in found.records:
            add(record)
    if found.broken and not quiet:
        more = f" and {len(found.broken) - 1} more" if len(found.broken) > 1 else ""
        say(f"{found.broken[0]}{more}: incomplete record, left out: a run was killed there")
    if json:
        import json as encoder

        result(encoder.dumps(facts | {"broken_lines": len(found.broken)}, ensure_ascii=False))
        return
    for line in _lines(facts):
        result_line(line)


def _lines(facts: dict) -> list[str]:
    """Return the summary for people."""
    counts = ", ".join(f"{facts[status]:,} {status}" for status in ("done", "skipped", "failed"))
    lines = [f"{facts['files']:,} {'file' if facts['files'] == 1 else 'files'}: {counts}"]
    if facts["real_time_factor"]:
        factor = facts["real_time_factor"]
        audio, work = (span(facts[name] * 3600) for name in ("hours_audio", "hours_work"))
        time = f"{work} of work" if facts["hours_passed"] is None else span(facts["hours_passed"] * 3600)
        lines.append(
            f"{audio} of audio in {time}: real-time factor {factor:.3g}, {1 / factor:.3g} times as fast as it plays"
        )
    before, after = facts["loudness_before"], facts["loudness_after"]
    if before and any(after.values()):
        lines.append(f"loudness before {_spread(before)}")
        for name, levels in after.items():
            if levels:
                lines.append(f"loudness after {f'({name}) ' if name else ''}{_spread(levels)}")
    for status in ("skipped", "failed"):
        for reason, inputs in facts[f"{status}_because"].items():
            lines.append(f"{status} {len(inputs):,}: {reason}")
            if status == "failed":
                lines.append(f"  such as {inputs[0]}")
    return lines + _unusable(facts["unusable"])


def _unusable(found: dict[str, list[str]]) -> list[str]:
    """Return the number of embeddings left as they were, and the first of them by name."""
    named = [f"  {file}: {name}" for file, names in found.items() for name in names]
    if not named:
        return []
    files = f"{len(found):,} {'file' if len(found) == 1 else 'files'}"
    lines = [f"unusable {len(named):,} in {files} done: embeddings that are zero or not finite, left as they were"]
    more = [f"  and {len(named) - NAMED:,} more: --json names all"] if len(named) > NAMED else []
    return [*lines, *named[:NAMED], *more]


def _spread(levels: list[float]) -> str:
    low, middle, high = levels
    return f"{middle:.1f} LUFS" if low == high else f"{middle:.1f} LUFS (most from {low:.1f} to {high:.1f})"
