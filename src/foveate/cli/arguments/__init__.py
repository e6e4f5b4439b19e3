"""What each command takes, for typer: names, types and help. A function hands over to its namesake module in ``cli``.

Nothing heavy is imported before a command runs, so that ``foveate --help`` answers at once.
"""
