"""Write videos again of which one sound track is new."""
