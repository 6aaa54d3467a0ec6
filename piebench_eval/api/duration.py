"""Format durations."""


def duration(seconds: float) -> str:
    """Format a duration for people.

    >>> duration(45), duration(600), duration(50_000)
    ('45 s', '10 min', '13 h 53 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
