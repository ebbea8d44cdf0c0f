"""Train models that extract stems: songs are rendered once, mixed anew for every batch, and separated."""
