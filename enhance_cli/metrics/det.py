"""Draw the DET curve: misses against false alarms on axes with normal quantiles (Martin et al., 1997).

Normally distributed scores give a straight line.
"""

from pathlib import Path

import numpy as np
from scipy.stats import norm

from enhance_cli.metrics.trials import SortedTrials

TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)


def draw(systems: dict[str, SortedTrials], picture: Path) -> None:
    """Write `picture` (PNG) with one curve for each system and its EER marked.

    Raises OSError if it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    lowest = 1.0
    for name, trials in systems.items():
        miss, false_alarm = trials.rates()
        inside = (miss > 0) & (miss < 1) & (false_alarm > 0) & (false_alarm < 1)
        at = np.argmin(np.abs(miss - false_alarm))
        eer = max(miss[at], false_alarm[at])
        (line,) = axis.plot(norm.ppf(false_alarm[inside]), norm.ppf(miss[inside]), label=f"{name}, EER {eer:.2%}")
        if 0 < eer < 1:
            axis.plot(*[[norm.ppf(eer)]] * 2, "o", color=line.get_color())
        lowest = min([lowest, *miss[inside], *false_alarm[inside]])
    ticks = [tick for tick in TICKS if tick >= lowest / 2] or TICKS[-3:]
    for name, side in (("false alarms", axis.xaxis), ("misses", axis.yaxis)):
        side.set_ticks(norm.ppf(ticks), [f"{100 * tick:g}" for tick in ticks])
        side.set_label_text(f"{name} in %")
    ends = norm.ppf(min(ticks) / 1.5), norm.ppf(0.7)
    axis.set(xlim=ends, ylim=ends)
    axis.plot([-4, 1], [-4, 1], color="0.8", linewidth=0.8, zorder=0)
    axis.grid(color="0.9")
    axis.legend()
    figure.savefig(picture, dpi=110, format="png")
