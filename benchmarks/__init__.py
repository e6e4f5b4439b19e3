"""Benchmarks: Foveate timed beside what a user would run instead. Run them with ``python -m benchmarks``."""
