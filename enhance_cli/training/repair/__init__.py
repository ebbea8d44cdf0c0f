"""Train models that repair speaker embeddings: corpora are embedded once, in many conditions, and learned from."""
