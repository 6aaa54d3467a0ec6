"""Inpainting: what is masked is painted, and which settings paint nothing."""

from dataclasses import replace

import numpy as np
import pytest

from piebench_eval.editors import EDITORS
from piebench_eval.editors.pipelines.inpainting import InpaintingSettings
from piebench_eval.editors.pipelines.location import check_pipeline_location
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.combination import CommonSettings
from tests.editors.pipelines.cases import CASES
from tests.editors.pipelines.test_edits import edited, recipe_of

CASE = CASES["inpainting"]


def test_the_mask_decides_where(tiny_model, samples):
    """An empty mask leaves the picture to the autoencoder, whatever the guidance."""
    unmasked = replace(samples[1], mask_rle=())
    for sample, alike in ((unmasked, True), (samples[1], False)):
        first, other = (
            edited(CASE, recipe_of(CASE, tiny_model, guidance=guidance), [sample])[0]
            for guidance in (5.0, 2.0)
        )
        assert np.array_equal(first.image, other.image) == alike


def test_no_step_is_said_before_anything_runs():
    problem = EDITORS.get("inpainting").settings_problem
    common = CommonSettings(model="none", steps=10)
    assert problem(InpaintingSettings(strength=0.1), common) is None
    assert "strength=0.09 of steps=10 is no step" in problem(InpaintingSettings(strength=0.09), common)


def test_sides_are_multiples_of_8(tiny_model, samples):
    with pytest.raises(PiebenchError, match="100x100, and this editor takes sides that are multiples of 8"):
        edited(CASE, recipe_of(CASE, tiny_model, resolution=100), samples[:1])


@pytest.mark.parametrize(("name", "masks"), [("inpainting", "benchmark"), ("ledits_pp", "none")])
def test_what_is_declared_and_which_models_go_with_it(name, masks, tiny_model, tiny_sdxl, tiny_instaflow):
    editor = EDITORS.get(name)
    assert (editor.masks, editor.prompted_by) == (masks, "target prompt")
    for model in (tiny_model, tiny_sdxl):
        check_pipeline_location(str(model), editor.pipelines)
    with pytest.raises(PiebenchError, match="says RectifiedFlowPipeline, and this editor takes"):
        check_pipeline_location(str(tiny_instaflow), editor.pipelines)
