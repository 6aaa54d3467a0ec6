"""The strength of an edit that begins with the noised picture: how many of the sampling steps are taken."""

from __future__ import annotations


def steps_of_strength(steps: int, strength: float) -> int:
    """How many of the sampling steps are taken, rounded down.

    >>> steps_of_strength(50, 0.75), steps_of_strength(50, 0.9999)
    (37, 49)
    """
    return min(int(steps * strength), steps)


def no_step(steps: int, strength: float, done: str) -> str:
    """What to say of a strength of which no step is left; ``done`` is what would not happen."""
    return (
        f"editor.strength={strength:g} of steps={steps} is no step, so that nothing would be {done}; give a "
        f"strength of at least {1 / steps:.3g}, or more steps"
    )
