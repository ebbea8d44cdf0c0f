"""Carry texts, pictures, chapters and chunks from a file to the file made from it."""
