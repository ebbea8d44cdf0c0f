"""Decode and encode by FFmpeg's libraries, in processes of their own."""
