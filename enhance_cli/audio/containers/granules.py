"""Compare the end positions of Ogg pages (granule positions) with the samples that their packets can hold.

Recorders of calls (WebRTC) and of streams copy the time stamps of the network into the file, so positions jump where
packets were lost, and start again where the sender did. libsndfile trusts them: it then repeats or leaves out sound.
"""

from __future__ import annotations

_CONTINUED, _LAST = 1, 4  # flags of a page


class Granules:
    """Follow the pages of one stream.

    `jump`: whether a position does not fit the packets before it. `timed`: whether FFmpeg's time stamps are usable. In a
    FLAC that was cut out of a longer stream, those of the first page are not. `wider`: whether the packets of an Opus hold
    a band above half the rate in its header, at which libsndfile decodes it. The header may state 0, which means unknown.

    For Opus the samples of a packet are known, from RFC 6716, section 3.1. For Vorbis, FLAC and Speex the header states the
    most that a packet can hold.
    """

    def __init__(self, first_packet: bytes):
        self.jump, self.timed = False, True
        self._is_opus, self._is_flac = first_packet.startswith(b"OpusHead"), first_packet.startswith(b"\x7fFLAC")
        self._most = _most_samples(first_packet)
        self._rate = _decoding_rate(first_packet) if self._is_opus else 0  # Hz
        self.wider = self._rate == 0 and self._is_opus
        self._position = 0  # of the last page on which a packet of sound ends
        self._started = False

    def push(self, flags: int, position: int, lacing: bytes, body: bytes) -> None:
        """Add a page after that of `first_packet`: its segment table `lacing`, and the first bytes of its `body`."""
        packets = len(lacing) - lacing.count(255)
        if not packets or position <= 0:  # the packets of the header have the position 0
            return
        if self._is_opus and not flags & _CONTINUED:
            self._most = _opus_samples(body)
            self.wider = self.wider or _opus_rate(body) > max(self._rate, 16_000 if self._rate > 8_000 else 0)
        if self._started and self._most:
            step, most = position - self._position, packets * self._most
            short = step < most if self._is_opus and not flags & _LAST else step < 0
            self.jump = self.jump or step > most or short
        elif self._is_flac:
            self.timed = position <= packets * self._most
        self._position, self._started = position, True


def _most_samples(head: bytes) -> int:
    """Return the most samples of each channel that a packet can hold, 0 if unknown."""
    if head.startswith(b"\x01vorbis") and len(head) > 28:
        return (1 << (head[28] >> 4)) // 2  # half of a long block
    if head.startswith(b"\x7fFLAC") and len(head) >= 21:
        return int.from_bytes(head[19:21], "big")
    if head.startswith(b"Speex   ") and len(head) >= 68:
        return int.from_bytes(head[56:60], "little") * max(int.from_bytes(head[64:68], "little"), 1)
    return 0


def _decoding_rate(head: bytes) -> int:
    """Return the rate in Hz at which libsndfile decodes an Opus, given its header, 0 if the header does not state one."""
    stated = int.from_bytes(head[12:16], "little")
    return next((rate for rate in (8_000, 12_000, 16_000, 24_000) if stated <= rate), 48_000) if stated else 0


def _opus_rate(packet: bytes) -> int:
    """Return twice the bandwidth in Hz of a packet of Opus, from its first byte (RFC 6716, section 3.1)."""
    kind = packet[0] >> 3 if packet else 0
    if kind < 16:
        return (8_000, 12_000, 16_000, 24_000 if kind < 14 else 48_000)[kind >> 2]
    return (8_000, 16_000, 24_000, 48_000)[kind - 16 >> 2]


def _opus_samples(packet: bytes) -> int:
    """Return the samples at 48 kHz in a packet of Opus, from its first two bytes, 0 if there are none."""
    if len(packet) < 2:
        return 0
    kind, code = packet[0] >> 3, packet[0] & 3
    if kind < 12:
        samples = (480, 960, 1920, 2880)[kind & 3]
    else:
        samples = (480, 960)[kind & 1] if kind < 16 else (120, 240, 480, 960)[kind & 3]
    return samples * ((1, 2, 2, packet[1] & 63)[code])
