"""Map languages to the codes that FFmpeg can write to MOV, which has numbers for some of the languages in ISO 639-2."""

_KNOWN = {
    "eng", "fra", "ger", "ita", "dut", "sve", "spa", "dan", "por", "nor", "heb", "jpn", "ara", "fin", "gre", "ice",
    "mlt", "tur", "chi", "urd", "hin", "tha", "kor", "lit", "pol", "hun", "est", "lav", "rus", "per", "alb", "ron",
    "ces", "slk", "slv", "yid", "mac", "bul", "ukr", "bel", "cat", "vie", "ind", "may", "baq", "wel", "lat", "tgl",
    "geo", "tam", "tel", "ben", "und",
}  # fmt: skip
_SAME = {
    "fre": "fra", "deu": "ger", "nld": "dut", "swe": "sve", "nob": "nor", "nno": "nor", "ell": "gre", "isl": "ice",
    "zho": "chi", "fas": "per", "sqi": "alb", "rum": "ron", "cze": "ces", "slo": "slk", "mkd": "mac", "msa": "may",
    "eus": "baq", "cym": "wel", "kat": "geo",
}  # fmt: skip


def language_in_mov(code: str) -> str | None:
    """Return the code with which FFmpeg writes a language to MOV, None if MOV has no number for the language."""
    code = _SAME.get(code, code)
    return code if code in _KNOWN else None
