"""Keep runs safe: outputs are complete or missing, temporary folders are removed, changed inputs are noticed."""
