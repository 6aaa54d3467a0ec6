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


def source_end(inverted):
    """Where a source ends that is set to an inversion's latents; without a last offset not at the picture."""
    picture, retracing = inverted.trajectory[0], inverted.retracing
    if retracing is None or not retracing.ends_freely:
        return picture
    return picture - retracing.missed(1, range(len(picture)))
