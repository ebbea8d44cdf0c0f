"""AudioSR and FlashSR give the numbers of their own programs from the wave to the wave, with small networks."""

from itertools import count

import numpy as np
import pytest
import torch
from scipy import signal

from enhance_cli.models.latent_windows import LatentWindows
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec
from enhance_cli.networks.latent_extender import LatentExtender
from tests.golden_numbers import band, load, rel_l2, rnormal, wave
from tests.networks.latent_parts import filled, filled_bigvgan

UNET = {"in_channels": 8, "out_channels": 4, "model_channels": 32, "attention_resolutions": [2], "num_res_blocks": 1}
UNET |= {"channel_mult": [1, 2], "head_channels": 16}
AUTOENCODER = {"channels": 32, "channel_mult": [1, 1, 2, 2], "num_res_blocks": 1, "z_channels": 4, "embed_dim": 4}
WINDOW = 245760


def windows_of(vocoder: str, *, beta_max: float, settings: dict, guidance: float | None, steps: int) -> LatentWindows:
    """The small model of the golden numbers, whose weights are not there yet."""
    vocoder_args = {"network": vocoder, "channels": 32}
    network = LatentExtender(UNET, AUTOENCODER, vocoder_args, 0.3342, keeps_bands=vocoder == "hifigan")
    spec = Spec(
        "tiny",
        "latent_extender",
        "ddpm",
        process_args={"beta_schedule": "cosine", "beta_max": beta_max},
        frontend=None,
        prediction={"kind": "v"},
        samplers=("ddim",),
        sampler_args={"ddim": settings},
        guidance=guidance,
        max_steps=1000,
        window_seconds=5.12,
    )
    return LatentWindows(Model(spec, network.eval().requires_grad_(False), torch.device("cpu")), seed=0, steps=steps)


def draws(shape: tuple[int, ...], first: int = 0):
    """Draw i of the published programs."""
    numbers = count(first)
    return lambda: torch.from_numpy(rnormal(f"noise{next(numbers)}", shape))


def statistics(x: np.ndarray) -> list[float]:
    x = np.asarray(x, np.float64)
    return [x.mean(), 0, x.std(), np.abs(x).sum(), np.abs(x).max()]


def test_the_spectrum_is_the_published_one():
    golden, about = load("latent_frontend_48k")
    network = LatentExtender(UNET, AUTOENCODER, {"network": "hifigan", "channels": 32}, 1.0)
    w = wave("latent_fe", 61440, 48000)
    y = 0.5 * (w - w.mean()) / (np.abs(w - w.mean()).max() + 1e-8)
    mel = network.analyze(torch.from_numpy(np.pad(y, (0, WINDOW - len(y))))[None])[0, 0].numpy()
    tolerance = about["tolerance"]["rel_l2"]
    assert mel.shape == (512, 256) and mel.min() == pytest.approx(np.log(1e-5), abs=1e-5)
    assert rel_l2(mel[::8, ::4], golden["mel_sub"]) < tolerance
    assert rel_l2(mel[:3], golden["mel_edge"]) < tolerance
    assert rel_l2(network.filters.sum(0), golden["mel_rowsum"]) < 1e-5


@pytest.mark.slow
def test_flashsr_as_a_whole():
    golden, about = load("flashsr_e2e_tiny")
    windowed = windows_of("bigvgan_sr", beta_max=0.999, settings={"spacing": "trailing"}, guidance=None, steps=1)
    network = windowed.network
    filled(network.unet, "unet.")
    for name, part in network.autoencoder.named_children():
        filled(part, f"vae.{name}.")
    filled_bigvgan(network.vocoder, "sr.")
    left = band("latent_fl_l", WINDOW, 48000, 0, 6000) + wave("latent_fl_w", WINDOW, 48000) + np.float32(0.02)
    audio = torch.from_numpy(np.stack([left, 0.3 * band("latent_fl_r", WINDOW, 48000, 0, 7000)]).astype(np.float32))
    mean = audio.mean(dim=1, keepdim=True)
    peak = (audio - mean).abs().amax(dim=1, keepdim=True) + 1e-8
    low = 0.5 * (audio - mean) / peak
    with torch.inference_mode():
        condition = network.condition(network.analyze(low), draws((2, 4, 64, 32))())
        assert rel_l2(condition[..., ::4, ::4], golden["cond_z_sub"]) < about["tolerance"]["rel_l2"]
        wide = 2 * peak * windowed.extend(low, 0, draws((2, 4, 64, 32))) + mean
    assert rel_l2(wide[:, ::331], golden["plain_sub"]) < about["tolerance"]["rel_l2"]
    np.testing.assert_allclose(statistics(wide[0])[2:], golden["plain_stats_0"][2:], rtol=1e-4)


def published_low_pass(audio: np.ndarray, cutoff: int) -> np.ndarray:
    """The elliptic filter of AudioSR's program, twice, around a change of the rate to twice the cut-off and back."""
    sections = signal.ellip(8, 0.1, 60, cutoff / 24000, output="sos")
    low = signal.sosfiltfilt(sections, audio)
    low = signal.resample_poly(low, int(cutoff / 24000 * 48000), 48000)
    low = signal.resample_poly(low, 48000, int(cutoff / 24000 * 48000))
    low = np.pad(low, (0, max(0, len(audio) - len(low))))[: len(audio)]
    return signal.sosfiltfilt(sections, low).astype(np.float32)


@pytest.mark.slow
def test_audiosr_as_a_whole():
    from torchaudio.functional import resample

    golden, about = load("latent_e2e_tiny")
    tolerances, settings = about["tolerances"], {"eta": 1.0, "spacing": "uniform"}
    windowed = windows_of("hifigan", beta_max=1.0, settings=settings, guidance=3.5, steps=5)
    network = windowed.network
    filled(network.unet, "unet.")
    filled(network.vocoder, "first.vocoder.")
    for name, part in network.autoencoder.named_children():
        filled(part, f"{'cond' if name in ('encoder', 'quant_conv') else 'first'}.{name}.")
    left = wave("latent_e2e", 24000, 16000) + band("latent_e2e_n", 24000, 16000, 0, 8000, 0.01)
    w = resample(torch.from_numpy(left.astype(np.float32)), 16000, 48000).numpy()
    w = np.pad(0.5 * (w - w.mean()) / (np.abs(w - w.mean()).max() + 1e-8), (0, WINDOW - len(w)))
    low = torch.from_numpy(published_low_pass(w, int(about["cutoff_Hz"])))[None]
    assert rel_l2(low[0, ::499], golden["lowpass_sub"]) < 1e-5
    noise = draws((1, 4, 64, 32), first=1)  # the first one is thrown away there
    with torch.inference_mode():
        mel = network.analyze(low)
        assert rel_l2(mel[0, 0, ::8, ::4], golden["lowpass_mel_sub"]) < 1e-5
        condition = network.condition(mel, noise())
        assert rel_l2(condition[0, :, ::4, ::4] / network.scale, golden["cond_sub"]) < tolerances["cond"]
        z = windowed.sample(condition, noise)
        assert rel_l2(z[0, :, ::4, ::4], golden["latent_sub"]) < tolerances["latent"]
        made = network.decode(z)
        assert rel_l2(made[0, 0, ::8, ::4], golden["mel_sub"]) < tolerances["mel"]
        made[..., : about["mel_cut_band"]] = mel[..., : about["mel_cut_band"]]
        wide = network.vocode(made, low)
    assert rel_l2(wide[0, ::499], golden["voc_sub"]) < tolerances["voc"]
