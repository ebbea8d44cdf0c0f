"""Process speaker embeddings: one file from input to output, many recordings into one file, and its checkpoint."""
