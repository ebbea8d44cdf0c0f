"""Keep runs safe: outputs appear whole or not at all, temporary folders outlive no run, changed inputs are noticed."""
