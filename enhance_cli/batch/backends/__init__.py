"""Where the files of a batch are worked on: threads of this process, other processes of this machine, a Ray cluster."""
