"""Define the flags that several commands share, one module for each panel of `--help`.

Flags that commands take together are the fields of a dataclass (`group.grouped` expands it), others are annotated types. A
flag that only one command has is defined in the file of that command.
"""
