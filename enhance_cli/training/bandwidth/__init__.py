"""Train a model that extends bandwidth (task "extend-bandwidth")."""
