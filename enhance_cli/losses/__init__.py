"""Losses: one file each. Training losses are loss(estimate, process, x0, y, noise, distance, ...) -> scalar, and a
distance is distance(estimate, target, frontend) -> scalar, of compressed spectrograms or, as its file says, of waveforms."""

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
    },
)
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
