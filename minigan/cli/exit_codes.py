"""The exit codes of `minigan`."""

SUCCESS = 0
FAILURE = 1
"""Something went wrong, or a check failed."""
USAGE_ERROR = 2
"""The command line asks for what cannot be done."""
INTERRUPTED = 130
"""By Ctrl-C; shells report 128 + the number of the signal, and SIGINT is 2."""
