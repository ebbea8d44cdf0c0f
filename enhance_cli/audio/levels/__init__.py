"""Measure how loud a recording is, and where it is speech."""
