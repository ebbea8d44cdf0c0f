"""How long models for GPUs will take on a CPU: counted as published, and told in words."""

import pytest

from enhance_cli.models.convert import audiosr
from enhance_cli.models.spec import Spec
from enhance_cli.tasks import expected_time
from enhance_cli.tasks.options import ExtendOptions


@pytest.mark.parametrize(
    "seconds, words",
    [(0.2, "1 second"), (100, "100 seconds"), (118, "2 minutes"), (5000, "83 minutes"), (9e4, "25 hours")],
)
def test_durations_are_told_in_few_digits(seconds, words):
    assert expected_time.in_words(seconds) == words


@pytest.mark.slow
def test_the_operations_are_those_that_were_counted_for_audiosr(monkeypatch):
    """6,684 GFLOP in 100 calls of the U-Net, 786 in the encoder, 1,723 in the decoder, 3,541 in the vocoder."""
    args = {"unet": {}, "autoencoder": {}, "vocoder": {"network": "hifigan"}, "scale": 0.33, "keeps_bands": True}
    spec = Spec(
        "audiosr",
        "latent_extender",
        "ddpm",
        network_args=args,
        process_args={"beta_schedule": audiosr.SCHEDULE, "beta_max": audiosr.LARGEST_BETA},
        frontend=None,
        prediction={"kind": "v"},
        samplers=("ddim",),
        sampler_args={"ddim": {"eta": 1.0, "spacing": "trailing"}},
        guidance=3.5,
        max_steps=1000,
        window_seconds=5.12,
    )
    monkeypatch.setattr("enhance_cli.models.operations.speed", lambda threads: 1e9)
    seconds, window = expected_time.seconds_of_window(spec, ExtendOptions(steps=50))
    assert seconds == pytest.approx(6684 + 786 + 1723 + 3541, rel=0.01) and window == 4
