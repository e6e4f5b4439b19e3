"""Rules that take a word out of a picture's path: ``part:K`` and ``regex:PATTERN``; ``column:NAME`` names a table's."""

import re
from collections.abc import Callable


def check_rule(rule: str) -> None:
    """Raise a ValueError unless ``rule`` is column:NAME, part:K or regex:PATTERN."""
    kind, _, value = rule.partition(":")
    if kind not in ("column", "part", "regex") or not value:
        raise ValueError("use column:NAME, part:K or regex:PATTERN")
    if kind == "part" and (not re.fullmatch(r"-?\d+", value) or int(value) == 0):
        raise ValueError("part:K needs a whole number, 1 = first folder, -1 = file name")
    if kind == "regex":
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None


def rule_of(attribute: str) -> tuple[str, str]:
    """(name, rule) of "NAME", a table's column, or "NAME=RULE".

    Raises:
        ValueError: no name, or see ``check_rule``.
    """
    name, equals, rule = (part.strip() for part in attribute.partition("="))
    if not name:
        raise ValueError("use COLUMN, or NAME=part:K, NAME=regex:PATTERN or NAME=column:COLUMN")
    check_rule(rule if equals else f"column:{name}")
    return name, rule if equals else f"column:{name}"


def column_of(rule: str | None) -> str | None:
    """The column that the rule names; None when it goes by the path."""
    kind, _, value = (rule or "").partition(":")
    return value if kind == "column" else None


def word_of(rule: str, *, folders: bool = False) -> Callable[[str], str]:
    """The function {path: word, or "" where the rule finds nothing}; ``folders``: a file's name is no word."""
    kind, _, value = rule.partition(":")

    def part(path: str) -> str:
        parts = path.split("/")
        k = int(value) - 1 if int(value) > 0 else int(value) + len(parts)
        return parts[k] if 0 <= k < len(parts) - folders else ""

    def match(path: str) -> str:
        found = re.search(value, path)
        return "" if found is None else (found.group(1) or "" if found.re.groups else found.group())

    return part if kind == "part" else match
