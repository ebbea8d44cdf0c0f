"""Decode and encode with FFmpeg's libraries, in processes of their own."""
