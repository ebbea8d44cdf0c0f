"""Run `enhance evaluate`: flags in `command`, a file for each task, and the systems, scores and table that they share."""
