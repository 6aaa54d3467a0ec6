"""Sampling steps written out, as tests compare the loop with."""


def step_along(inverted, schedule, latents, output, level):
    """Where a solver of one stage leads along an output, an inversion's offset included."""
    walk = inverted.solver.step(schedule, latents, level)
    next(walk)
    try:
        walk.send(output)
    except StopIteration as end:
        return end.value if inverted.offsets is None else end.value + inverted.offsets[level - 1]
    raise AssertionError("the solver has several stages")
