"""A combination: one inversion with one method, or an editor in their place, and all settings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from piebench_eval.combination_names import combination_name
from piebench_eval.data.images import (  # noqa: TC001 (pydantic reads annotations at run time)
    ImageLoader,
    OutputFilter,
)
from piebench_eval.editors import EDITORS
from piebench_eval.editors.texts import PromptFrom  # noqa: TC001 (likewise)
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.pictures import GreyLevels, Posterior  # noqa: TC001 (likewise)
from piebench_eval.quirks import Quirks, without_effect
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from piebench_eval.models.families import Family, GuidancePolicy


class CommonSettings(Settings):
    """The settings that inversions and methods share; a combination can override each of them."""

    model: str = Field(description="diffusers directory or hub id of a model")
    family: Literal["auto", "sd1", "sdxl", "instaflow", "lcm", "sd3", "flux"] = Field(
        default="auto",
        description="what kind of model it is; auto: as its model_index.json says",
    )
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    clip_length: int | None = Field(
        default=None,
        ge=2,
        description="tokens of CLIP that a prompt has, padded or cut, in models with T5; the tokenizer's, "
        "77, if empty",
    )
    t5_length: int | None = Field(
        default=None,
        ge=1,
        le=512,
        description="tokens of T5 that a prompt has, padded or cut; if empty, 256 for Stable Diffusion 3 "
        "and 512 for FLUX.1",
    )
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        default="fp32",
        description="of denoiser and text encoders; tf32: float32 that a GPU multiplies faster",
    )
    weights: Literal["full", "int8", "nf4"] = Field(
        default="full",
        description="of a transformer's blocks: full, at the precision, or of 8 or 4 bits for less memory; "
        "other pictures, never held against published numbers",
    )
    steps: int = Field(default=50, ge=1, le=999, description="sampling steps, and inversion steps")
    steps_offset: int = Field(
        default=1, ge=0, le=1, description="added to every timestep: 981, 961, ..., 1 for 50 steps"
    )
    set_alpha_to_one: bool = Field(
        default=False, description="cumulative alpha of the image: 1, or that of training timestep 0"
    )
    timesteps: list[Annotated[int, Field(ge=0, le=999)]] | None = Field(
        default=None,
        description="training timesteps, descending, one per step; spaced evenly, or as the model was "
        "distilled, if empty",
    )
    guidance: float = Field(default=7.5, ge=0, description="guidance scale of the edit")
    source_guidance: float | None = Field(
        default=None, ge=0, description="guidance scale of the source branch; that of the edit if empty"
    )
    guidance_policy: Literal["auto", "classifier_free", "embedded"] = Field(
        default="auto",
        description="classifier_free: by an unconditional row; embedded: the scale is an input of the model; "
        "auto: as models of its family take it",
    )
    embedded_guidance: float | None = Field(
        default=None,
        ge=0,
        description="under guidance_policy=classifier_free, the scale that a model still takes as an input "
        "for the target's rows; 1 if empty, as for the source's",
    )
    seed: int = Field(
        default=1234,
        ge=0,
        description="seed of each sample's noise, where an inversion or the posterior draws any",
    )
    prompt_from: PromptFrom = Field(
        default="auto",
        description="what editors that an instruction prompts are told: auto, the sample's instruction; "
        "target, its target prompt, as for all others",
    )
    resolution: int | None = Field(
        default=None, ge=8, description="side in pixels; the model's or the editor's own if empty"
    )
    image_loader: ImageLoader = Field(
        default="crop",
        description="crop: central square, PIL's filter; stretch: nearest pixels, aspect ratio lost; "
        "shorter_side: bilinear, not cropped; resize: PIL's filter, aspect ratio lost; resize_bilinear and "
        "resize_lanczos: so with these filters of PIL's; crop_to_multiple: in its own size, cut at the "
        "bottom and right to multiples of what the model takes",
    )
    posterior: Posterior = Field(
        default="mean",
        description="what a picture is encoded to: the mean of the autoencoder's posterior, or a sample by "
        "the seed's first noise",
    )
    grey_levels: GreyLevels = Field(
        default="truncate",
        description="whole grey levels of an edit: truncate as Stable Diffusion 1.x's reference scripts, or "
        "round as diffusers",
    )
    output_resolution: int | None = Field(
        default=None,
        ge=8,
        description="shorter side in pixels of the saved edits, which output_filter resizes; as they are "
        "made if empty",
    )
    output_filter: OutputFilter = Field(
        default="lanczos",
        description="PIL's filter that brings edits to output_resolution; without effect if that is empty",
    )
    quirks: Quirks = Field(
        default=Quirks(),
        description="habits of single repositories that only reproduce published numbers; see piebench "
        "methods",
    )

    def policy_of(self, family: Family) -> GuidancePolicy:
        """How a model of a family is guided: as such models are, unless the recipe says otherwise."""
        return family.guidance if self.guidance_policy == "auto" else self.guidance_policy

    @model_validator(mode="after")
    def _timesteps_are_the_steps(self) -> Self:
        if self.timesteps is None:
            return self
        if any(a <= b for a, b in pairwise(self.timesteps)):
            raise ValueError("timesteps: must descend, the noisiest first")
        if len(self.timesteps) != self.steps:
            raise ValueError(
                f"timesteps: are {len(self.timesteps)}, but steps is {self.steps}; make them equal"
            )
        return self


LATER_SETTINGS: dict[str, Any] = {
    "output_resolution": None,
    "output_filter": "lanczos",
    "prompt_from": "auto",
    "family": "auto",
    "clip_length": None,
    "t5_length": None,
    "weights": "full",
    "timesteps": None,
    "source_guidance": None,
    "guidance_policy": "auto",
    "embedded_guidance": None,
    "posterior": "mean",
    "grey_levels": "truncate",
    "inversion.evaluate_at": "next",
    "inversion.refinements": 0,
    "inversion.noise_levels": "sampling",
    "inversion.regularisation_rounds": 0,
    "inversion.regularisation_rolls": 5,
    "inversion.correlation_weight": 20.0,
    "inversion.divergence_weight": 20.0,
    "inversion.target_offset": False,
    "inversion.sampler": "ode",
    "inversion.solver": "euler",
    "method.device_gigabytes": 8.0,  # of before --feature-memory; it never changed a picture
    "method.feature_module": None,
    "method.first_attention_layer": None,
    "quirks.added_shift": False,
    "quirks.keep_brackets": False,
    "quirks.noise_on_device": False,
    "quirks.swapped_states": False,
}
"""Settings that recipes of earlier versions lack, or that only they have, by their names in
``Combination.flat``, with the value that says the same as their absence."""

FORMER_DEFAULTS: dict[str, Any] = {"method.blend_downsampling": 4}
"""Settings that are empty by default since that goes by the model's family, by their names in
``Combination.flat``, with the default of before: an empty one says the same, since a family with another
default refuses it."""


def with_former_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as earlier versions wrote them where nothing is chosen, to be compared with others.

    Args:
        settings: by their names in ``Combination.flat``.

    >>> with_former_defaults({"method.blend_downsampling": None, "steps": 50})
    {'method.blend_downsampling': 4, 'steps': 50}
    """
    return {name: FORMER_DEFAULTS.get(name) if value is None else value for name, value in settings.items()}


_NO_SETTINGS = Settings()


@dataclass(frozen=True)
class Combination:
    """One inversion with one method, or an editor, and their settings.

    Attributes:
        inversion: name of the inversion; empty for an editor.
        method: name of the editing method, or of the editor.
        inversion_settings: settings of the inversion; without a field for an editor.
        method_settings: settings of the method, likewise.
        common: settings that all share.
        editor_settings: settings of the editor; without a field for an inversion with a method.
    """

    inversion: str
    method: str
    inversion_settings: Settings
    method_settings: Settings
    common: CommonSettings
    editor_settings: Settings = _NO_SETTINGS

    @property
    def name(self) -> str:
        """As in folder names and messages: ``direct+p2p``, ``sdedit``."""
        return combination_name(self.inversion, self.method)

    @property
    def is_editor(self) -> bool:
        """Whether an editor stands in the place of inversion and method."""
        return not self.inversion

    @property
    def loads_itself(self) -> bool:
        """Whether it is an editor of pictures, which loads what it needs itself, if anything."""
        return self.is_editor and EDITORS.get(self.method).edit is not None

    def flat(self) -> dict[str, Any]:
        """Every setting by its name in ``--set``: ``steps``, ``method.start_step``.

        Quirks that nothing of it reads are left out.
        """
        sections = {
            "inversion.": self.inversion_settings,
            "method.": self.method_settings,
            "editor.": self.editor_settings,
            "": self.common,
        }
        flat = {
            f"{prefix}{field}": value
            for prefix, settings in sections.items()
            for field, value in settings.model_dump(mode="json").items()
        }
        quirks = flat_quirks(flat.pop("quirks"), self.inversion, self.method)
        return {**flat, **quirks}


def flat_quirks(quirks: dict[str, Any], inversion: str, method: str) -> dict[str, Any]:
    """The quirks that an inversion with a method, or an editor, reads, by their names on the command line.

    Args:
        quirks: all of them.
        inversion: name of the inversion; one from outside the package may read any. Empty for an editor.
        method: likewise; or the editor.
    """
    unread = without_effect({inversion, method}) if are_own(inversion, method) else set()
    return {f"quirks.{name}": value for name, value in quirks.items() if name not in unread}


def are_own(inversion: str, method: str) -> bool:
    """Whether an inversion with a method, or an editor, are the package's own, and no plugin's."""
    return INVERSIONS.is_own(inversion) and METHODS.is_own(method) if inversion else EDITORS.is_own(method)
