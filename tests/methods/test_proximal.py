"""The proximal operator of the guidance difference."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.methods.proximal import proximal
from piebench_eval.models.nfe import EvaluationCounter
from tests.runs.test_combinations import STEPS, UNBLENDED, run


@given(st.integers(0, 1000), st.floats(0, 1), st.sampled_from(["soft", "hard"]))
def test_it_shrinks_and_zeroes_the_small_share(seed, quantile, shrink):
    differences = torch.randn(2, 2, 4, 5, 5, generator=torch.Generator().manual_seed(seed))
    shrunk = proximal(differences, quantile, shrink)
    assert (shrunk.abs() <= differences.abs() + 1e-6).all()
    assert (shrunk * differences >= 0).all()
    for before, after in zip(differences, shrunk, strict=True):
        assert abs((after.abs() < 1e-7).float().mean().item() - quantile) < 0.02
        alone = proximal(before[None], quantile, shrink)[0]
        assert torch.equal(alone, after)


def test_soft_and_hard():
    differences = torch.tensor([[-4.0, 1.0, 2.0, 3.0, 0.5]])
    assert proximal(differences, 0.5, "soft").tolist() == [[-2, 0, 0, 1, 0]]
    assert proximal(differences, 0.5, "hard").tolist() == [[-4, 0, 2, 3, 0]]


def test_guidance_is_shrunk_at_a_scale_of_one_too(model, samples):
    """There the edit is uncond + proximal(cond - uncond), which is not cond."""

    def edit(**settings):
        model.evaluations = EvaluationCounter()
        return run(model, [samples[UNBLENDED]], "direct", "proximal", guidance=1.0, **settings)[0]

    shrunk, whole = edit(), edit(quantile=0, shrink="hard")
    assert model.evaluations.forward[0] == STEPS + 4 * STEPS, "inversion, and both halves of both branches"
    assert (shrunk - whole).abs().max() > 1e-3
    unguided = run(model, [samples[UNBLENDED]], "direct", "p2p", guidance=1.0)[0]
    torch.testing.assert_close(whole, unguided, atol=1e-4, rtol=0)
