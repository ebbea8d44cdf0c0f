"""Run `enhance evaluate`: flags in `command`, speech and stems a file each, and the table they share."""
