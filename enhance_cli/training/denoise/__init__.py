"""Train models that clean speech: mixtures or recordings in pairs in, spectrograms in between."""
