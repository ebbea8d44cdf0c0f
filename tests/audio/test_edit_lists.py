"""Edit lists of MP4 and QuickTime with a pause between two pieces of sound: silence of the same length."""

import struct

import av
import numpy as np
import pytest

from enhance_cli.audio.read import open_audio
from tests import audio_zoo as zoo

RATE, PACKET = 48000, 1024  # samples of a packet, at whose borders FFmpeg cuts


def boxes(raw, start, end):
    while start < end:
        size, name = struct.unpack_from(">I4s", raw, start)
        yield name, start, start + size
        start += size


def edited(path, edits):
    """Write 4 s of sound to a QuickTime file, and give it an edit list of (seconds, begin in the sound or None)."""
    samples = np.round(zoo.noise(1, 4 * RATE) * 32767).astype(np.int16)
    with av.open(str(path), "w", format="mov") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux([*stream.encode(frame), *stream.encode(None)])
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
    return samples[0] / np.float32(32768)


@pytest.mark.parametrize("pause", [1, 10])
def test_a_pause_between_two_pieces_is_silence_of_its_length(pause, tmp_path):
    sound = edited(tmp_path / "x.mov", [(1, 0), (pause, None), (1, 2)])
    with open_audio(tmp_path / "x.mov") as audio:
        found, notes = np.concatenate(list(audio.blocks()), axis=1)[0], audio.notes
    assert abs(len(found) - (2 + pause) * RATE) < PACKET
    assert np.array_equal(found[:47000], sound[:47000])
    assert not found[RATE : (1 + pause) * RATE].any()
    middle = round((1.5 + pause) * RATE)
    begins = [
        at for at in range(2 * RATE, 3 * RATE) if np.array_equal(found[middle : middle + 50], sound[at : at + 50])
    ]
    assert len(begins) == 1 and abs(begins[0] - 2.5 * RATE) < PACKET
    assert f"{pause}.000 s in all, were filled with silence" in notes[0] and len(notes) == 1
