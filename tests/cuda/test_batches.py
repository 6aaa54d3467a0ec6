"""On a GPU as on a CPU, a picture's edit does not depend on what else is in its batch."""

import pytest

from piebench_eval.runs.batch_editing import edit_latents
from scripts.speed.measure import NULL_TEXT_TOLERANCE, TOLERANCE

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize(
    ("name", "steps", "tolerance"),
    [
        ("direct+p2p", 10, TOLERANCE),
        ("direct+pnp", 10, TOLERANCE),
        ("direct+masactrl", 10, TOLERANCE),
        ("edit_friendly+p2p", 10, TOLERANCE),
        ("null_text+p2p", 3, NULL_TEXT_TOLERANCE),
    ],
)
def test_a_batch_of_eight_is_eight_single_pictures(
    load, pictures, combination, name, steps, tolerance, record_property
):
    """Within the recordings' tolerance: kernels for other numbers of rows add up in another order."""
    together, _ = edit_latents(load(), pictures, combination(name, steps=steps))
    largest, rms = tolerance
    for place in (0, 3, 7):
        alone, _ = edit_latents(load(), pictures[place : place + 1], combination(name, steps=steps))
        off = (together[place] - alone[0]).abs()
        record_property(f"picture {place} off, max", f"{float(off.max()):.1e}")
        assert float(off.max()) <= largest
        assert float(off.square().mean().sqrt()) <= rms
