"""The subcommands of `minigan`, one a file: its first line of help, `add_arguments(parser)`, and `run(arguments)`."""
