"""Process many files safely: inputs, outputs, one atomic write per file, one record per file.

Nothing here knows about models: a back end is given a function that loads the worker.
"""
