"""Get published models onto this machine: from the Hub or by HTTPS, checked against digests, and pinned."""
