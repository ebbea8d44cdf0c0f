"""Store audio in an unnamed temporary file, in memory as long as it is short."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

IN_MEMORY = 2 << 20  # bytes of audio, 11 s of mono at 48 kHz: up to this size, no temporary file is written
BLOCK = 65536  # samples


class Spool:
    """Store blocks (C, n) once and read them back once. The file has no name, so a kill leaves nothing.

    `folder`: place for the file if it is too long for memory, or its nearest existing parent. None means the system's
    temporary folder. The sample type is that of the first block, since float64 (32-bit integers) must not be rounded.
    """

    def __init__(self, folder: Path | None):
        while folder is not None and not folder.is_dir():
            folder = folder.parent
        where = None if folder is None else str(folder)
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=where)  # noqa: SIM115 - closed by `close`
        self._shape: tuple[int, np.dtype] | None = None

    def write(self, block: np.ndarray) -> None:
        if self._shape is None:
            self._shape = block.shape[0], np.dtype(np.float64 if block.dtype == np.float64 else np.float32)
        self._file.write(np.ascontiguousarray(block.T, dtype=self._shape[1]).tobytes())

    def blocks(self) -> Iterator[np.ndarray]:
        assert self._shape is not None
        channels, dtype = self._shape
        self._file.seek(0)
        while data := self._file.read(BLOCK * channels * dtype.itemsize):
            yield np.frombuffer(data, dtype).reshape(-1, channels).T

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
