"""Find the recordings in the bytes of sound files, without decoding them."""
