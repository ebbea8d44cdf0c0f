"""Offer the Python interface: objects that are loaded once and used often, and functions for a single call.

The commands with the same options give the same samples. Nothing heavy is imported before it is needed.
"""
