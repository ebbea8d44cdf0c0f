"""The front end of our models and of published ones: exact inverses, and the numbers of the originals."""

import pytest
import torch

from enhance_cli.audio.spectra.stft import Frontend
from tests.golden_numbers import load, rel_l2, wave

PUBLISHED = {
    "frontend_16k": Frontend(510, 128, 0.5, 0.15, window="hann", pad_mode="reflect"),
    "frontend_16k_log_sqrthann": Frontend(510, 128, scale=0.15, transform="log", pad_mode="reflect"),
    "frontend_48k": Frontend(1534, 384, 0.667, 0.065, window="hann", pad_mode="reflect"),
}


def whole(spectrum: torch.Tensor):
    """(B, 2, T, F) -> complex (B, F, T)."""
    return torch.complex(spectrum[:, 0], spectrum[:, 1]).transpose(1, 2).numpy()


@pytest.mark.parametrize("item", PUBLISHED)
def test_published_front_ends(item):
    arrays, about = load(item)
    frontend, samples, tolerance = PUBLISHED[item], about["samples"], about["tolerance"]["rel_l2"]
    tone = torch.from_numpy(wave(item.replace("frontend", "wave"), samples, about["sr"]))
    assert rel_l2(tone[::101], arrays["wave_sub"]) < 1e-6

    compressed = frontend.analyze((tone / tone.abs().max())[None])
    ours, every = whole(compressed), about["shape"][1] // arrays["comp_sub"].shape[1]
    assert ours.shape == tuple(about["shape"])
    assert rel_l2(ours[:, ::every, ::4], arrays["comp_sub"]) < tolerance
    assert rel_l2(whole(frontend.expand(compressed))[:, ::every, ::4], arrays["stft_sub"]) < tolerance

    gain = torch.from_numpy(arrays["gain"]).reshape(1, 1, 1, -1)
    assert rel_l2(frontend.synthesize(compressed * gain, samples)[0, ::37], arrays["mod_sub"]) < 3 * tolerance


@pytest.mark.parametrize("frontend", [Frontend(), *PUBLISHED.values()], ids=["ours", *PUBLISHED])
@pytest.mark.parametrize("samples", [1, 200, 255, 256, 768, 5000])
def test_there_and_back_whatever_the_length(frontend, samples):
    sound = 0.3 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    spectrum = frontend.analyze(sound)
    assert spectrum.shape == (2, 2, samples // frontend.hop + 1, frontend.n_fft // 2 + 1)
    assert torch.allclose(frontend.synthesize(spectrum, samples), sound, atol=2e-6)


def test_silence_stays_silence_and_has_gradients():
    for frontend in (Frontend(), *PUBLISHED.values()):
        silence = torch.zeros(1, 4000, requires_grad=True)
        back = frontend.synthesize(frontend.analyze(silence), 4000)
        assert not back.any()
        back.sum().backward()
        assert torch.isfinite(silence.grad).all()


@pytest.mark.parametrize("frontend", [Frontend(), *PUBLISHED.values()], ids=["ours", *PUBLISHED])
def test_recompress_gives_the_magnitudes_to_another_power(frontend):
    sound = 0.3 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    compressed = frontend.analyze(sound)
    magnitude = frontend.expand(compressed).square().sum(dim=1, keepdim=True).sqrt()
    other, spectrum = frontend.recompress(compressed, 0.3)
    loud = magnitude > 0.01
    assert torch.allclose(other[loud], magnitude.pow(0.3)[loud], rtol=1e-3)
    assert torch.allclose(spectrum.square().sum(dim=1, keepdim=True).sqrt()[loud], other[loud], rtol=1e-3)


@pytest.mark.parametrize("wrong", [{"window": "kaiser"}, {"transform": "none"}, {"pad_mode": "circular"}])
def test_unknown_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        Frontend(**wrong)
