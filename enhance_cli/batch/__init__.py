"""Many files, safely: which files come in, where each goes, one atomic write per file, one record per file.

Nothing here knows about models: the runner is given the function that does the work.
"""
