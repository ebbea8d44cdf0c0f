"""Map the streams of a film to those of its copy, in which one sound track is new, and copy their packets."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import Any

from av.stream import Discard, Disposition

from enhance_cli.audio.ffmpeg.process import path_of, restart_watch
from enhance_cli.audio.ffmpeg.stream_facts import choose
from enhance_cli.audio.ffmpeg.time_stamps import origin
from enhance_cli.audio.film.container import (
    FAMILIES,
    MARK,
    NAMES,
    OF_THE_FILE,
    Unable,
    has_cover,
    open_film,
    unplaced_texts,
)
from enhance_cli.audio.film.languages import language_in_mov
from enhance_cli.audio.film.sound import Sound
from enhance_cli.audio.film.subtitles import Subtitles, can_be_converted

STEP = Fraction(1, 1000)  # seconds by which pictures may be shifted against the sound
_OF_THE_OLD_SOUND = ("encoder", "duration", "bps", "number_of_bytes", "number_of_frames", "_statistics_")


class Film:
    """Map the streams of an open film to those of an output, in order, the new sound among them.

    `sound`: stream of the new track. `lead`: seconds by which all streams are delayed, silence in the new track. `notes`:
    notes on streams that are not copied. Raises Unable for a stream that the container cannot hold.
    """

    def __init__(self, source: Any, output: Any, request: dict):
        self._source, self._output, self._request = source, output, request
        self._muxer = request["muxer"]
        self._same = self._muxer in FAMILIES.get(source.format.name.split(",")[0], ())
        self.notes: list[str] = []
        self.sound: Any = None
        self._copies: dict[int, Any] = {}
        self._subtitles: dict[int, Subtitles] = {}
        self._is_cover = {s.index: bool(s.disposition & Disposition.attached_pic) for s in source.streams}
        replaced = choose(source, str(request["track"]))
        first = source.streams.audio[0]
        self._begin = origin(source) or 0.0
        if self._begin and source.format.name.split(",")[0] in FAMILIES:
            self.notes.append(f"the times of this film begin at {self._begin:.3f} s, and at zero in the new one")
        self.lead = self._to_next_picture() if self._muxer == "avi" else 0.0
        self._begin -= self.lead
        keep = request["keep_original"]
        for stream in source.streams:
            if stream is (first if keep else replaced):
                self.sound = self._add_sound(replaced)
            if stream is replaced and not keep:
                continue
            copy = self._copied(stream)
            if copy is not None:
                copy.metadata.update(_texts(stream))
                cover = stream.disposition & Disposition.attached_pic and self._muxer in ("mp4", "mov")
                copy.disposition = int(Disposition.attached_pic if cover else stream.disposition)
                if keep and stream is replaced:
                    copy.disposition = int(stream.disposition & ~Disposition.default)
                self._copies[stream.index] = copy
        if self._muxer == "mov":
            self._name_languages()
        output.metadata.update(
            {name: text for name, text in source.metadata.items() if name.lower() not in OF_THE_FILE}
        )
        if self._muxer in ("mp4", "mov") and has_cover(source) and (names := unplaced_texts(source)):
            self.notes.append(f"{NAMES[self._muxer]} with a cover cannot hold the tags {', '.join(names)}")
        if request["mark"]:
            output.metadata[MARK] = request["mark"]
        if chapters := source.chapters():
            output.set_chapters([self._shifted(c) for c in chapters if c["end"] * c["time_base"] > self._begin])

    @property
    def shapes(self) -> dict[int, Fraction]:
        """Return the width of a pixel divided by its height, if it is known, by Matroska's track number from 1."""
        tracks = [stream.index for stream in self._output.streams if stream.type != "attachment"]
        pictures = ((self._copies[s.index].index, s) for s in self._source.streams.video if s.index in self._copies)
        return {tracks.index(n) + 1: s.sample_aspect_ratio for n, s in pictures if s.sample_aspect_ratio}

    def _to_next_picture(self) -> float:
        """Return the delay in seconds after which the pictures of a film begin at a multiple of their duration.

        AVI counts pictures. Packets of another sound track could not be moved by so little, so that such a film stays.
        """
        if len(self._source.streams.audio) > 1 or self._request["keep_original"] or not self._source.streams.video:
            return 0.0
        pictures = self._source.streams.video[0]
        length = _length_of_picture(pictures)
        behind = self._begin_of(pictures) % length if length else 0.0
        return float(length - behind) if length and STEP < behind < length - STEP else 0.0

    def _begin_of(self, stream: Any) -> Fraction:
        """Return the start of a stream in seconds, from the start of the new film."""
        return (stream.start_time or 0) * stream.time_base - Fraction(self._begin)

    def _shifted(self, chapter: dict) -> dict:
        shift = round(self._begin / chapter["time_base"])
        return {**chapter, "start": max(chapter["start"] - shift, 0), "end": chapter["end"] - shift}

    def _name_languages(self) -> None:
        for stream in self._output.streams:
            code = stream.metadata.get("language", "")
            if code and not (named := language_in_mov(code)):
                self.notes.append(f"MOV has no name for the language {code} of its {stream.type} stream {stream.index}")
            elif code:
                stream.metadata["language"] = named

    def _add_sound(self, replaced: Any) -> Any:
        request = self._request
        settings = {"rate": request["rate"], "layout": request["layout"]}
        try:
            stream = self._output.add_stream(request["encoder"], **settings)
        except ValueError:
            raise Unable(f"{NAMES[self._muxer]} cannot hold {request['encoder']}") from None
        stream.time_base = Fraction(1, request["rate"])
        stream.codec_context.format = _nearest(stream.codec_context.codec, request)
        if request["bitrate"]:
            stream.bit_rate = request["bitrate"]
        if request["encoder"] == "libmp3lame" and (self._muxer == "avi" or request["late"]):
            stream.options = {"reservoir": "0"}  # no packet needs the one before it
        texts = {n: t for n, t in _texts(replaced).items() if not n.lower().startswith(_OF_THE_OLD_SOUND)}
        stream.metadata.update(texts)
        if request["title"]:
            stream.metadata["title"] = request["title"]
        stream.disposition = int(replaced.disposition)
        return stream

    def _copied(self, stream: Any) -> Any:
        """Add a stream for one of the source to the output and return it, or None if it is left out."""
        held = NAMES[self._muxer]
        if stream.type == "attachment":
            if self._muxer != "matroska":
                raise Unable(f"{held} cannot hold its attachment {stream.metadata.get('filename', '')}".rstrip())
            return self._output.add_stream_from_template(stream)
        if stream.disposition & Disposition.attached_pic and self._muxer in ("matroska", "webm"):
            self._attach(stream)
            return None
        if stream.codec_context is None and stream.type == "data":
            if stream.discard == Discard.all or (self._same and "timecode" in stream.metadata):
                return None  # the muxer creates it from the chapters and the time code
            if self._same and self._request["data"]:
                return self._output.add_stream_from_template(stream)
            said = stream.metadata.get("handler_name") or stream.name or "unknown"
            self.notes.append(f"{held} is not given the data stream {stream.index} ({said}) of this film")
            return None
        lengths_in_front = stream.type == "video" and bytes(stream.codec_context.extradata or b"")[:1] == b"\1"
        if self._muxer == "avi" and not self._same and lengths_in_front:
            raise Unable(f"AVI cannot hold {stream.codec_context.name} as it is in this film")
        try:
            copy = self._output.add_stream_from_template(stream, opaque=True)
        except ValueError:
            if can_be_converted(stream, self._muxer):
                subtitles = self._subtitles[stream.index] = Subtitles(stream, self._output, self._muxer)
                self.notes.append(subtitles.note)
                return subtitles.target
            codec = stream.codec_context.name if stream.codec_context else stream.type
            if self._same and stream.type == "subtitle" and self._muxer != "webm":  # where it should not have been
                self.notes.append(f"the {stream.type} stream {stream.index} ({codec}) cannot be copied")
                return None
            raise Unable(f"{held} cannot hold its {stream.type} stream {stream.index} ({codec})") from None
        if self._muxer == "avi" and stream.type == "video" and (length := _length_of_picture(stream)):
            behind = self._begin_of(stream) % length
            if min(behind, length - behind) <= STEP:
                copy.time_base = length  # one that counts milliseconds has 39 empty pictures between two
        if stream.type == "video" and not copy.codec_context.framerate and stream.average_rate:
            copy.codec_context.framerate = stream.average_rate  # without it MOV has no track of the time code
        if stream.type == "video" and (shape := stream.sample_aspect_ratio):
            # That of the container wins over that of the pictures
            copy.codec_context.sample_aspect_ratio = shape
        if self._request["tags"] and self._same and (tag := _tag(stream)):
            with contextlib.suppress(ValueError):
                copy.codec_context.codec_tag = tag
        return copy

    def _attach(self, stream: Any) -> None:
        """Attach a cover, which is a file in Matroska, and a stream with one picture in FFmpeg."""
        if self._muxer == "webm":
            self.notes.append(f"WebM cannot hold the cover of this film, stream {stream.index}")
            return
        with open(path_of(self._request["source"]), "rb") as file, open_film(file) as again:
            data = next((bytes(packet) for packet in again.demux(again.streams[stream.index]) if packet.size), b"")
        kind = {"mjpeg": "jpeg"}.get(stream.codec_context.name, stream.codec_context.name)
        name = stream.metadata.get("filename", f"cover.{kind.replace('jpeg', 'jpg')}")
        self._output.add_attachment(name, stream.metadata.get("mimetype", f"image/{kind}"), data)

    def copy(self, sound: Sound) -> None:
        """Copy all packets, and encode the new sound so that it keeps step with them."""
        streams = [s for s in self._source.streams if s.index in self._copies and s.type != "attachment"]
        for stream in self._source.streams:
            if stream not in streams:
                with contextlib.suppress(Exception):
                    stream.discard = "all"
        shifts = {s.index: round(self._begin / s.time_base) if s.time_base else 0 for s in streams}
        for packet in self._source.demux(*streams) if streams else ():
            if packet.dts is None and packet.pts is None:
                if not packet.size:
                    continue  # an empty packet marks the end
                packet.pts = packet.dts = 0 if self._is_cover[packet.stream_index] else None
            restart_watch()
            number = packet.stream_index
            shift = shifts[number]
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            time = packet.dts if packet.dts is not None else packet.pts
            if time is not None and packet.time_base:
                sound.go_to(float(time * packet.time_base))
            if number in self._subtitles:
                packet = self._subtitles[number].converted(packet)
                if packet is None:
                    continue
            packet.stream = self._copies[number]
            self._output.mux(packet)
        sound.finish()


def _length_of_picture(stream: Any) -> Fraction | None:
    """Return the duration of a picture in seconds if the time base of the stream is finer."""
    rate = stream.base_rate
    if not rate or rate < (stream.average_rate or 0) or Fraction(1, 2) / rate <= stream.time_base:
        return None
    return 1 / Fraction(rate)


def _texts(stream: Any) -> dict[str, str]:
    """Return the metadata of a stream. In MP4 and MOV, a title is read as "name" and has to be written as "title"."""
    name = stream.metadata.get("name")
    return ({"title": name} if name else {}) | dict(stream.metadata)


def _tag(stream: Any) -> str:
    """Return the four-character code of a stream's codec, or "" if it is not text."""
    with contextlib.suppress(UnicodeDecodeError, AttributeError, TypeError):
        tag = stream.codec_context.codec_tag
        return tag if tag.strip("\0") else ""
    return ""


def _nearest(codec: Any, request: dict) -> str:
    """Return the sample format of the encoder that is closest to that of the samples."""
    known = [form.name for form in codec.audio_formats or []]
    kind = request["samples"]
    return next(
        (name for name in (kind, f"{kind}p", "fltp", "flt", "s16", "s16p", "s32", "s32p") if name in known), known[0]
    )
