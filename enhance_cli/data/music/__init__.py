"""Prepare training data of music: random songs and MIDI files rendered with instruments, effects, and mixes of stems."""
