"""Times in words: what was measured, and what is expected."""


def duration(seconds: float) -> str:
    """What was measured: "12.3 s", "3 min 20 s", "2 h 10 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"


def about(seconds: float) -> str:
    """What is expected: "20 s", "3 min", "2 h 10 min"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return duration(60 * minutes)
    return f"{minutes} min" if minutes else f"{max(seconds, 1):.0f} s"
