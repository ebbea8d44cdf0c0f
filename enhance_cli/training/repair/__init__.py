"""Training of models that repair speaker embeddings: corpora are embedded once, in many bad conditions, and learnt from."""
