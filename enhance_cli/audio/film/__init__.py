"""Write copies of videos in which one sound track is new."""
