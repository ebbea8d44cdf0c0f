"""Stands in for the ffmpeg program in tests: takes the same two command lines, and is built on PyAV, which
brings FFmpeg's libraries. Reading: any file to a WAV stream of floats on stdout. Writing: raw samples on stdin
to M4A.
"""

import struct
import sys

import av
import numpy as np


def main(arguments):
    options = dict(zip(arguments, arguments[1:], strict=False))
    if arguments[-1] == "pipe:1":
        assert "-nostdin" in arguments and options["-c:a"] == "pcm_f32le" and options["-f"] == "wav"
        decode(options["-i"].removeprefix("file:"))
    else:
        raw, codec = arguments[arguments.index("-f") + 1], options["-c:a"]
        assert options["-movie_timescale"] == options["-ar"]
        encode(arguments[-1].removeprefix("file:"), raw, codec, int(options["-ar"]), int(options["-ac"]))


def decode(path):
    try:
        file = av.open(path)
        stream = file.streams.audio[0]
    except (av.FFmpegError, IndexError) as error:
        sys.exit(f"ffmpeg: {error}")
    codec = stream.codec_context
    kind, rate, channels = codec.format.name, codec.rate, codec.layout.nb_channels
    say = f"  Stream #0:0: Audio: {codec.name} (LC), {rate} Hz, stereo, {kind}, 128 kb/s"
    print(f"Input #0, {file.format.name}, from x:", say, sep="\n", file=sys.stderr)
    for video in file.streams.video:
        cover = " (attached pic)" if video.disposition & av.stream.Disposition.attached_pic else ""
        print(f"  Stream #0:1: Video: {video.codec_context.name}{cover}", file=sys.stderr)
    out = sys.stdout.buffer
    unknown, odd = b"\xff" * 4, b"LIST" + struct.pack("<I", 3) + b"odd\0"
    fmt = struct.pack("<IHHIIHH", 16, 3, channels, rate, rate * channels * 4, channels * 4, 32)
    out.write(b"RIFF" + unknown + b"WAVEfmt " + fmt + odd + b"data" + unknown)
    packed = av.AudioResampler(format="flt", layout=codec.layout, rate=rate)
    for decoded in file.decode(stream):
        for frame in packed.resample(decoded):
            out.write(frame.to_ndarray().tobytes())


def encode(path, raw, codec, rate, channels):
    dtype, kind = {"f32le": ("<f4", "fltp"), "s16le": ("<i2", "s16p"), "s32le": ("<i4", "s32p")}[raw]
    samples = np.frombuffer(sys.stdin.buffer.read(), dtype).reshape(-1, channels).T
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(path, "w", format="ipod", options={"movie_timescale": str(rate)}) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout, format=kind)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), kind, layout)
        frame.sample_rate, frame.pts = rate, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


if __name__ == "__main__":
    main(sys.argv[1:])
