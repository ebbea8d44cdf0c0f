"""Collect the losses and the distances, one file each.

A training loss is loss(estimate, process, x0, y, noise, distance, ...) -> scalar, a distance is distance(estimate,
target, frontend) -> scalar. PAIRINGS lists the processes for which the formulas of each loss hold: score matching needs noise
at every time, data prediction a state around y at t = 1, flow matching straight paths, and a single call no process. SPECTRAL
distances compare compressed spectrograms, the others waveforms.
"""

from enhance_cli.catalogue import Catalogue

LOSSES = Catalogue(
    "loss",
    __name__,
    {
        "consistency": "consistency:loss",
        "cross_reconstruction": "cross_reconstruction:loss",
        "data_prediction": "data_prediction:loss",
        "reverse_process": "reverse_process:loss",
        "score_matching": "score_matching:loss",
        "flow_matching": "flow_matching:loss",
        "single_call": "single_call:loss",
    },
)
_BRIDGES = frozenset({"brownian_bridge", "schroedinger_bridge_ve", "schroedinger_bridge_vp"})
PAIRINGS = {
    "consistency": _BRIDGES | {"ouve", "bbed", "flow_matching", "edm"},
    "cross_reconstruction": frozenset({"ddpm"}),
    "data_prediction": _BRIDGES | {"flow_matching"},
    "reverse_process": _BRIDGES | {"ouve", "bbed", "flow_matching"},
    "score_matching": frozenset({"ouve", "bbed", "flow_matching"}),
    "flow_matching": frozenset({"flow_matching"}),
    "single_call": frozenset({""}),
}
DISTANCES = Catalogue(
    "distance",
    __name__,
    {
        "hybrid_spectral": "hybrid_spectral:distance",
        "perceptual": "perceptual:distance",
        "scale_invariant": "scale_invariant:distance",
        "signal_to_noise": "signal_to_noise:distance",
        "waveform_spectral": "waveform_spectral:distance",
    },
)
SPECTRAL = frozenset({"hybrid_spectral", "perceptual"})
