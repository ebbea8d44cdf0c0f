"""Prepare training data: corpora of recordings, music made from MIDI, and mixtures of them."""

STEMS = ("bass", "drums", "guitar", "piano", "other")
"""The rows of a song, in this order."""
