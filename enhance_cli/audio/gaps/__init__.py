"""Find the gaps of recordings, and fill short ones."""
