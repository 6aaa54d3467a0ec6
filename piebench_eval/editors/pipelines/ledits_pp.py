"""LEDITS++: edit-friendly inversion by a second-order solver, and guidance by concepts within masks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from piebench_eval.data.prompts import marked_phrases
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.editors.pipelines.calling import call_for_each, require_sides, resolution_of_unet
from piebench_eval.editors.pipelines.editor import for_stable_diffusion
from piebench_eval.editors.texts import edit_text
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.editors.base import LoadOptions

_PIPELINES = for_stable_diffusion("LEditsPPPipelineStableDiffusion", "LEditsPPPipelineStableDiffusionXL")

_MULTIPLE = 32
"""Of a picture's sides: attention maps are read at a quarter of the latents' resolution."""

_TRAINING_TIMESTEPS = 1000

_NO_WORDS = "the prompts mark no words in brackets that differ: the whole target prompt is the edit"


class LEditsPPSettings(Settings):
    """Settings of LEDITS++.

    The recipe's guidance is that of the edit (s_e), and its source_guidance that of the inversion.
    """

    editing_prompt: Literal["target", "words"] = Field(
        default="target",
        description="target: the whole target prompt is one edit. words: each phrase in brackets is one, "
        "towards those of the target prompt and away from those of the source prompt",
    )
    source_prompt: Literal["empty", "source"] = Field(
        default="empty",
        description="what the picture is inverted with: the empty prompt, or the source prompt under the "
        "recipe's source_guidance",
    )
    skip: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="how many of the noisiest steps are left out, as a share of those that are taken; less "
        "changes the picture more",
    )
    edit_threshold: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="share of the picture that an edit leaves as it is, the quantile of its masks (lambda)",
    )
    edit_warmup_steps: int = Field(default=0, ge=0, description="steps at the beginning without guidance")
    edit_cooldown_steps: int | None = Field(
        default=None, ge=1, description="steps from the beginning after which guidance ends; never if empty"
    )
    use_cross_attn_mask: bool = Field(
        default=False,
        description="edits only where cross-attention looks at their words (M1); always so under "
        "use_intersect_mask",
    )
    use_intersect_mask: bool = Field(
        default=True,
        description="edits only where both cross-attention looks at their words and they change the noise "
        "estimate most (M1 and M2)",
    )


@dataclass(frozen=True)
class Edits:
    """The edits of a sample.

    Attributes:
        prompts: texts of concepts.
        reversed: for each, whether the edit leads away from it.
        notes: notes for the user.
    """

    prompts: list[str]
    reversed: list[bool]
    notes: list[str] = field(default_factory=list)


def edits_of(sample: Sample, settings: LEditsPPSettings, common: Any) -> Edits:
    """What LEDITS++ is asked to do with a sample.

    Phrases that both prompts mark are no edit. Where prompts mark nothing that differs, the whole target
    prompt is the edit.
    """
    marked = (sample.marked_source_prompt, sample.marked_target_prompt)
    before, after = ([phrase.strip() for phrase in marked_phrases(prompt)] for prompt in marked)
    removed = [phrase for phrase in dict.fromkeys(before) if phrase and phrase not in after]
    added = [phrase for phrase in dict.fromkeys(after) if phrase and phrase not in before]
    if settings.editing_prompt == "words" and (removed or added):
        return Edits(removed + added, [True] * len(removed) + [False] * len(added))
    notes = [] if settings.editing_prompt == "target" else [_NO_WORDS]
    return Edits([edit_text(sample, LEDITS_PP, common)], [False], notes)


def load(settings: LEditsPPSettings, common: Any, options: LoadOptions) -> Any:
    """Load the pipeline that goes with the model, with the paper's solver in the place of the model's."""
    from diffusers import DPMSolverMultistepScheduler

    from piebench_eval.editors.pipelines.loading import load_pipeline

    pipeline = load_pipeline(_PIPELINES, common, options, tuple(_PIPELINES))
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="sde-dpmsolver++", solver_order=2
    )
    for name in ("tokenizer", "tokenizer_2"):
        if (tokenizer := getattr(pipeline, name, None)) is not None:
            setattr(pipeline, name, LengthsOfTexts(tokenizer))
    return pipeline


class LengthsOfTexts:
    """A tokenizer whose ``length`` of a padded text is that of the text.

    The pipelines sum attention over so many tokens. Tokenizers of transformers 5 count padding as well, and
    masks would then hardly depend on the words.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *texts: Any, **options: Any) -> Any:
        """Tokenize texts."""
        encoded = self._tokenizer(*texts, **options)
        if options.get("return_length"):
            encoded["length"] = encoded["attention_mask"].sum(dim=-1)
        return encoded


@dataclass(frozen=True)
class _InvertAndEdit:
    """Both calls of a pipeline as one."""

    pipeline: Any

    @property
    def unet(self) -> Any:
        return self.pipeline.unet

    def __call__(
        self,
        inversion: dict[str, Any],
        num_inference_steps: int,
        generator: Any,
        output_type: str,
        **options: Any,
    ) -> Any:
        self.pipeline.invert(num_inversion_steps=num_inference_steps, generator=generator, **inversion)
        return self.pipeline(generator=generator, output_type=output_type, **options)


def edit(
    pipeline: Any,
    pictures: Sequence[NDArray[np.uint8]],
    samples: Sequence[Sample],
    settings: LEditsPPSettings,
    common: Any,
) -> EditedPictures:
    """Invert each picture and edit it.

    A picture at a time: the pipelines have one list of edits for all pictures that they invert together.
    """
    require_sides(pictures, samples, _MULTIPLE)
    arguments = partial(_arguments, settings, common)
    edited = call_for_each(_InvertAndEdit(pipeline), pictures, samples, common, arguments)
    further = [edits_of(sample, settings, common).notes for sample in samples]
    return replace(
        edited, notes=[[*pair[0], *pair[1]] for pair in zip(edited.notes or further, further, strict=True)]
    )


def _arguments(settings: LEditsPPSettings, common: Any, image: Image.Image, sample: Sample) -> dict[str, Any]:
    edits = edits_of(sample, settings, common)
    inversion: dict[str, Any] = {"image": image, "skip": settings.skip}
    if settings.source_prompt == "source":
        inversion |= {
            "source_prompt": sample.source_prompt,
            "source_guidance_scale": _source_guidance(common),
        }
    return {
        "inversion": inversion,
        "editing_prompt": edits.prompts,
        "reverse_editing_direction": edits.reversed,
        "edit_guidance_scale": common.guidance,
        "edit_threshold": settings.edit_threshold,
        "edit_warmup_steps": settings.edit_warmup_steps,
        "edit_cooldown_steps": settings.edit_cooldown_steps,
        "use_cross_attn_mask": settings.use_cross_attn_mask,
        "use_intersect_mask": settings.use_intersect_mask,
    }


def _source_guidance(common: Any) -> float:
    """The guidance of the inversion; that of the edit if the recipe has none."""
    return float(common.guidance if common.source_guidance is None else common.source_guidance)


def settings_problem(settings: LEditsPPSettings, common: Any) -> str | None:
    """Which settings do not go together."""
    last = common.steps if settings.edit_cooldown_steps is None else settings.edit_cooldown_steps
    if settings.edit_warmup_steps >= min(last, common.steps):
        return (
            f"editor.edit_warmup_steps={settings.edit_warmup_steps} leaves no step with guidance, so that "
            "nothing would be edited; give fewer, or more steps and edit_cooldown_steps"
        )
    if settings.source_prompt == "source" and _source_guidance(common) <= 1:
        return (
            f"editor.source_prompt=source: source_guidance={_source_guidance(common):g} would leave the "
            "prompt out; set it above 1 (3.5 is published), or editor.source_prompt=empty"
        )
    if int(common.steps * (1 + settings.skip)) >= _TRAINING_TIMESTEPS:
        return f"steps={common.steps} and as many more as editor.skip={settings.skip:g} says are too many"
    return None


def evaluations(settings: LEditsPPSettings, common: Any, guidance: Guidance | None) -> int | None:
    """Of every step, one or two of the inversion, and one of the edit besides one for each of its prompts.

    None where the number of prompts is each sample's own.
    """
    if settings.editing_prompt == "words":
        return None
    inversion = 2 if settings.source_prompt == "source" else 1
    return int(common.steps) * (inversion + 2)


LEDITS_PP = Editor(
    title="LEDITS++",
    paper="Brack et al., LEDITS++: Limitless Image Editing using Text-to-Image Models, CVPR 2024",
    equation="equations 5 to 12",
    settings=LEditsPPSettings,
    prompted_by="target prompt",
    masks="none",
    native_resolution=resolution_of_unet,
    pipelines=tuple(_PIPELINES),
    model="stable-diffusion-v1-5/stable-diffusion-v1-5",
    recipe="ledits-pp",
    load=load,
    edit=edit,
    evaluations=evaluations,
    settings_problem=settings_problem,
)
