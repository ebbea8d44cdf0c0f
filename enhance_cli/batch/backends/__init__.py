"""Process the files of a batch in threads of this process, in other processes of this machine, or on a Ray cluster."""
