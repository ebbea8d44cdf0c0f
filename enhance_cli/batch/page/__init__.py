"""Write a page to look at the recordings of a batch before and after, and to listen to them, in a browser."""
