"""Fixtures for the audio tests: machines where PyAV, or every form of FFmpeg, is missing."""

import os
import sys

import pytest

# Stands in for the ffmpeg program: it takes the same command lines, and is built on PyAV, which brings FFmpeg's libraries.
_FFMPEG = '''#!{python}
import struct, sys
import av, numpy as np

arguments = sys.argv[1:]
after = lambda flag: arguments[arguments.index(flag) + 1]
if arguments[-1] == "pipe:1":
    assert "-nostdin" in arguments and after("-c:a") == "pcm_f32le" and after("-f") == "wav"
    try:
        file = av.open(after("-i").removeprefix("file:"))
    except Exception as error:
        sys.exit(f"ffmpeg: {{error}}")
    stream = file.streams.audio[0]
    codec = stream.codec_context
    print(f"Input #0, {{file.format.name}}, from x:", file=sys.stderr)
    print(f"  Stream #0:0: Audio: {{codec.name}} (LC), {{codec.rate}} Hz, stereo, {{codec.format.name}}, 128 kb/s", file=sys.stderr)
    out, channels, rate = sys.stdout.buffer, codec.layout.nb_channels, codec.rate
    fmt = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    out.write(b"RIFF" + b"\\xff" * 4 + b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"LIST" + struct.pack("<I", 3) + b"odd\\0")
    out.write(b"data" + b"\\xff" * 4)
    planar = av.AudioResampler(format="flt", layout=codec.layout, rate=rate)
    for decoded in file.decode(stream):
        for frame in planar.resample(decoded):
            out.write(frame.to_ndarray().tobytes())
else:
    rate, channels, kind = int(after("-ar")), int(after("-ac")), after("-f")[:-2]
    samples = np.frombuffer(sys.stdin.buffer.read(), {{"f32": "<f4", "s16": "<i2", "s32": "<i4"}}[kind])
    kind = {{"f32": "fltp", "s16": "s16p", "s32": "s32p"}}[kind]
    assert after("-movie_timescale") == str(rate)
    with av.open(arguments[-1].removeprefix("file:"), "w", format="ipod", options={{"movie_timescale": str(rate)}}) as file:
        layout = {{1: "mono", 2: "stereo"}}[channels]
        stream = file.add_stream(after("-c:a"), rate=rate, layout=layout, format=kind)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(-1, channels).T), kind, layout)
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
'''


@pytest.fixture
def no_pyav(monkeypatch):
    """PyAV is not installed."""
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.fixture
def no_ffmpeg(monkeypatch, no_pyav, tmp_path_factory):
    """Neither PyAV nor an ffmpeg program is there."""
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty_path")))


@pytest.fixture
def only_ffmpeg(monkeypatch, tmp_path_factory):
    """A function that takes PyAV away, so that only an ffmpeg program is left."""
    program = tmp_path_factory.mktemp("path") / "ffmpeg"
    program.write_text(_FFMPEG.format(python=sys.executable))
    program.chmod(0o755)

    def take_away():
        monkeypatch.setenv("PATH", str(program.parent) + os.pathsep + os.environ["PATH"])
        monkeypatch.setitem(sys.modules, "av", None)

    return take_away
