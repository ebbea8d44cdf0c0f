"""Outputs that appear whole or not at all, temporary folders that outlive no run, inputs that change while they are read."""
