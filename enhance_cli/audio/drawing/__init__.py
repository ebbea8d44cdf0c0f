"""Survey recordings, and draw them."""
