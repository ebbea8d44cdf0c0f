"""Edit lists of MP4 and QuickTime: pieces and pauses in their order, exact to the sample."""

import struct

import av
import numpy as np
import pytest

from enhance_cli.audio.read import open_audio

RATE = 48000


def boxes(raw, start, end):
    while start < end:
        size, name = struct.unpack_from(">I4s", raw, start)
        yield name, start, start + size
        start += size


def edited(path, edits, codec="pcm_s16le"):
    """Write 4 s of sound to a file, and give it an edit list of (seconds, begin in the sound or None).

    Returns the whole sound of the track, as FFmpeg decodes it without the list.
    """
    phase = (
        np.cumsum(np.linspace(500, 3000, 4 * RATE)) * 2 * np.pi / RATE
    )  # not noise, which AAC replaces by random numbers
    samples = np.round(8000 * np.sin(phase)[None]).astype(np.int16)
    with av.open(str(path), "w", format="mov" if path.suffix == ".mov" else "mp4") as file:
        stream = file.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for converted in av.AudioResampler(format=stream.format, frame_size=stream.frame_size).resample(frame):
            file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
    raw = bytearray(path.read_bytes())
    moov = next(box for box in boxes(raw, 0, len(raw)) if box[0] == b"moov")
    inside = list(boxes(raw, moov[1] + 8, moov[2]))
    header, track = (next(box for box in inside if box[0] == name) for name in (b"mvhd", b"trak"))
    (unit,) = struct.unpack_from(">I", raw, header[1] + 20)
    entries = [struct.pack(">Iii", round(s * unit), -1 if b is None else round(b * RATE), 1 << 16) for s, b in edits]
    listed = struct.pack(">I4sII", 16 + 12 * len(edits), b"elst", 0, len(edits)) + b"".join(entries)
    listed = struct.pack(">I4s", 8 + len(listed), b"edts") + listed
    first, last = next(
        ((start, end) for name, start, end in boxes(raw, track[1] + 8, track[2]) if name == b"edts"), (None, None)
    )
    if first is None:
        first = last = next(end for name, _, end in boxes(raw, track[1] + 8, track[2]) if name == b"tkhd")
    raw[first:last] = listed
    for box in (track, moov):
        struct.pack_into(">I", raw, box[1], box[2] - box[1] + len(listed) - (last - first))
    path.write_bytes(raw)
    with av.open(str(path), options={"ignore_editlist": "1"}) as file:
        frames = [(frame.pts, frame.samples, frame) for frame in file.decode(audio=0)]
    sound = np.zeros(sum(frames[-1][:2]), np.float32)
    for begin, length, frame in frames:
        frame.pts = None
        (plain,) = av.AudioResampler(format="flt").resample(frame)
        sound[begin : begin + length] = plain.to_ndarray()[0]
    return sound


LISTS = {
    "a pause": [(1, 0), (1, None), (1, 2)],
    "a long pause": [(1, 0), (10, None), (1, 2)],
    "uneven": [(0.123, 0.0171), (0.25, 2.0039), (0.5, 2.5101)],
    "turned": [(1, 2), (1, 0), (0.7, 3.2)],
    "repeated": [(0.5, 1)] * 3,
    "late": [(0.5, None), (0.5, 0.1), (0.5, 1.7)],
    "shortened": [(0.03, 0.1), (0.02, 0.2), (0.005, 0.2), (0.4, 0.2001)],
}


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac", "alac", "libmp3lame", "libopus"])
@pytest.mark.parametrize("edits", LISTS.values(), ids=LISTS)
def test_pieces_and_pauses_are_exact_to_the_sample(edits, codec, tmp_path):
    path = tmp_path / ("x.mov" if codec == "pcm_s16le" else "x.mp4")
    sound = edited(path, edits, codec)
    with open_audio(path) as audio:
        found, notes = np.concatenate(list(audio.blocks()), axis=1)[0], audio.notes
        assert audio.info.frames in (len(found), None)
    ends = np.cumsum([0, *(seconds for seconds, _ in edits)])
    expected = np.zeros(round(ends[-1] * RATE), np.float32)
    for (_, begin), first, end in zip(edits, ends, ends[1:]):
        if begin is not None:
            first, end, begin = round(first * RATE), round(end * RATE), round(begin * RATE)
            expected[first:end] = sound[begin : begin + end - first]
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() <= (0.005 if codec in ("aac", "libmp3lame", "libopus") else 0)
    pauses = sum(seconds for seconds, begin in edits[1:] if begin is None)
    expected_notes = [f"1 gaps in the time stamps, {pauses}.000 s in all, were filled with silence"] if pauses else []
    assert [note for note in notes if "silence was put in front" not in note] == expected_notes


def test_a_list_that_is_longer_than_its_track_ends_in_silence(tmp_path):
    sound = edited(tmp_path / "x.mov", [(1, 1), (2, 3)])
    with open_audio(tmp_path / "x.mov") as audio:
        found = np.concatenate(list(audio.blocks()), axis=1)[0]
    assert np.array_equal(
        found, np.concatenate([sound[RATE : 2 * RATE], sound[3 * RATE :], np.zeros(RATE, np.float32)])
    )
