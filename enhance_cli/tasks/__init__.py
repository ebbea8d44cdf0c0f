"""Run tasks: waveform in, waveform out, (C, N) -> (C, N) at the same rate, whole or as a stream of blocks."""
