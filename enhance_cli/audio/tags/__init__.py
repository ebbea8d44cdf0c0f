"""Copy texts, pictures, chapters and chunks from a file to its output."""
