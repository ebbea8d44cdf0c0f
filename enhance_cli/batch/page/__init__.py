"""Write a page to compare the recordings of a batch before and after in a browser, by ear and eye."""
