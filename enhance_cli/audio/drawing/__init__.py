"""Survey recordings, and draw them."""

import logging

# Matplotlib tells about its font cache and a home folder that cannot be written, also to jobs that asked for --quiet
logging.getLogger("matplotlib").setLevel(logging.ERROR)
