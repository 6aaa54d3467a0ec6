"""What the edits of editors will cost, where they declare nothing."""

from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import Editor
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.forecast import count_evaluations


def test_editors_that_look_at_masks_are_given_some_to_be_counted(monkeypatch, samples):
    seen = []

    def within_masks(model, samples, inputs, schedule, settings):
        seen.append((inputs.masks * inputs.latents).shape == inputs.latents.shape)
        return inputs.latents, [[] for _ in samples]

    editor = Editor(
        title="ours",
        paper="none",
        prompted_by="target prompt",
        masks="not declared",
        under=lambda settings: ("target prompt", "benchmark"),
        edit_latents=within_masks,
    )
    monkeypatch.setitem(EDITORS._plugins, "ours", (editor, "plugin ours.py"))
    fields = {"model": "CompVis/stable-diffusion-v1-4", "editors": ["ours"], "steps": 3}
    count_evaluations(build_recipe(fields, {}, "test"), samples[:1])
    assert seen == [True]
