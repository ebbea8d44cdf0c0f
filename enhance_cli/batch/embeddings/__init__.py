"""Speaker embeddings: one file from input to output, many recordings into one file, and the checkpoint of the latter."""
