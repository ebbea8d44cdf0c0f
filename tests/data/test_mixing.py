"""Training pairs: timing, levels and chances are what the recipe says, and a batch depends on its number alone."""

import numpy as np
import pytest

from enhance_cli.data import damage, rooms
from enhance_cli.data.corpus import Clip, Corpus, Source
from enhance_cli.data.mixing import Mix, Mixer, active_level

RATE = 16000
PLAIN = {
    "room": 0.0, "babble": 0.0, "coloured": 0.0, "equaliser": 0.0, "clean": 0.0, "noise_only": 0.0,
    "band_limit": 0.0, "clipping": 0.0, "codec": 0.0, "seconds": 1.0,
}  # fmt: skip


def corpus(seed: int, clips: int = 4, tone: bool = False) -> Corpus:
    rng = np.random.default_rng(seed)
    length = 2 * RATE
    time = np.arange(length) / RATE
    parts = [
        0.1 * np.sin(2 * np.pi * (200 + 100 * k) * time) if tone else 0.05 * rng.standard_normal(length)
        for k in range(clips)
    ]
    audio = (np.concatenate(parts) * 32767).astype(np.int16)
    return Corpus(audio, [Clip(0, f"g{k}", k * length, length) for k in range(clips)], [Source("x", held_out=0.25)])


def mixer(seed=0, responses=None, held_out=False, **changes) -> Mixer:
    return Mixer(
        corpus(1, tone=True),
        corpus(2),
        rooms=responses,
        mix=Mix(**PLAIN | changes),
        rate=RATE,
        seed=seed,
        held_out=held_out,
    )


def test_a_batch_is_a_function_of_seed_and_number():
    first, again, other = mixer().batch(7, 3), mixer().batch(7, 3), mixer().batch(8, 3)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (3, RATE) and first[0].dtype == np.float32


def test_sustained_speech_fills_the_item():
    plain, always, again = (mixer(sustained=share).batch(3, 4)[1] for share in (0.0, 1.0, 1.0))
    assert np.array_equal(always, again) and not np.array_equal(plain, always)
    assert always.reshape(-1, RATE // 4).std(axis=1).min() > 0.02


@pytest.mark.parametrize("snr", [-5, 0, 15])
def test_the_signal_to_noise_ratio_is_the_one_asked_for(snr):
    noisy, clean = mixer(snr=(snr, snr), level=(0, 0)).batch(0, 8)
    measured = 10 * np.log10(np.square(clean).mean(1) / np.square(noisy - clean).mean(1))
    assert measured == pytest.approx(np.full(8, snr), abs=0.1)
    assert [active_level(x) for x in noisy] == pytest.approx([0.1] * 8, rel=1e-3)


def test_clean_and_noise_only_items():
    noisy, clean = mixer(clean=1.0).batch(0, 4)
    assert np.array_equal(noisy, clean)
    noisy, clean = mixer(noise_only=1.0).batch(0, 4)
    assert not clean.any() and noisy.any()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    pytest.importorskip("pyroomacoustics")
    return rooms.load(3, RATE, tmp_path_factory.mktemp("rooms"), seed=1, log=lambda line: None)


def test_the_early_part_of_a_room_ends_after_60_ms_and_has_unit_energy(simulated):
    full, early = simulated
    assert np.array_equal(early[:, : RATE // 20], full[:, : RATE // 20]) and early[:, : RATE // 20].any(axis=1).all()
    assert full[:, RATE * 6 // 100 :].any(axis=1).all() and not early[:, RATE * 6 // 100 :].any()
    assert np.square(early).sum(axis=1) == pytest.approx([1, 1, 1], rel=1e-5)


def test_a_room_does_not_shift_the_target(simulated):
    noisy, clean = mixer(responses=simulated, room=1.0, clean=1.0).batch(0, 6)
    for heard, target in zip(noisy, clean, strict=True):
        lags = np.fft.irfft(np.fft.rfft(heard, 4 * RATE) * np.conj(np.fft.rfft(target, 4 * RATE)))
        assert abs((np.argmax(lags) + RATE) % (4 * RATE) - RATE) <= RATE // 200  # a pure tone peaks every period


def test_the_target_keeps_the_early_part_of_the_room_and_not_its_reverberation():
    """A room of the direct sound and one echo at 0.4 s: the microphone hears both, the target has the direct sound alone."""
    late = RATE * 4 // 10
    early = np.zeros((1, late + 1))
    early[0, 0] = 1
    full = early.copy()
    full[0, late] = 0.5
    noisy, clean = mixer(responses=(full, early), room=1.0, clean=1.0).batch(0, 4)
    assert np.square(clean).mean(axis=1).min() > 1e-3
    np.testing.assert_allclose(noisy[:, :late], clean[:, :late], atol=1e-6)
    np.testing.assert_allclose(noisy[:, late:] - clean[:, late:], 0.5 * clean[:, :-late], atol=1e-6)


def test_held_out_material_is_not_in_training():
    train, valid = mixer().speech, mixer(held_out=True).speech
    starts = [{c.start for c in side.by_source[0]} for side in (train, valid)]
    assert starts[0] and starts[1] and not starts[0] & starts[1]


@pytest.mark.parametrize("container, subtype", damage.CODECS)
def test_codecs_keep_the_timing_and_the_length(container, subtype, monkeypatch):
    monkeypatch.setattr(damage, "CODECS", ((container, subtype),))
    rng = np.random.default_rng(0)
    audio = np.convolve(rng.standard_normal(RATE), np.ones(8) / 8, "same").astype(np.float32) * 0.1
    out = damage.codec(audio, RATE, rng)
    assert out.shape == audio.shape
    correlation = np.correlate(out[4000:12000], audio[4200:11800], "valid")
    assert np.argmax(correlation) == 200
    assert 0 < np.square(out - audio).mean() < 0.6 * np.square(audio).mean()


def test_clipping_limits_the_peak():
    audio = np.sin(np.arange(1000) / 10).astype(np.float32)
    clipped = damage.clip(audio, np.random.default_rng(0))
    assert np.abs(clipped).max() < 0.81 and np.abs(clipped).max() >= 0.2


def test_gaps_are_silence_in_the_mixture_and_the_target_is_the_mixture_without_them():
    plain, cut = mixer(snr=(20.0, 20.0)), mixer(snr=(20.0, 20.0), gaps=1.0)
    lengths = []
    for number in range(20):
        noisy, target = cut.batch(number, 1)
        assert np.array_equal(target, plain.batch(number, 1)[0])
        missing = noisy != target
        assert not noisy[missing].any() and missing.any()
        lengths.append(missing.sum() / RATE)
    assert 0.005 <= min(lengths) < 0.1 < max(lengths) < 1.0 and np.mean(lengths) < 0.5
