"""What lies above the core and adds to its tables, such as the networks of a single paper.

A package names itself here; it is imported, and registers what it has, when a table that it may add to is read. So the
core finds its members without knowing it.
"""

from importlib import import_module

PACKAGES: list[str] = []
"""Names of packages, for example "foveate.papers"."""


def load() -> None:
    """Import them; only the first call takes time."""
    for name in PACKAGES:
        import_module(name)
