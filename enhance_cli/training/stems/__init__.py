"""Training of models that extract stems: songs are rendered once, mixed anew all the time, and taken apart again."""
