"""Run `enhance verify`: flags in `command`, then the trials, their embeddings, and a decision or error rates."""
