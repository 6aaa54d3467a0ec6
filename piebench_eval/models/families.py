"""The families of models: what tells them apart, and what inversions and methods ask about them.

Nothing heavy is imported here, so that a plan can be checked before any weight is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Predicts = Literal["epsilon", "velocity"]
GuidancePolicy = Literal["classifier_free", "embedded"]
AttentionKind = Literal["self", "cross", "joint"]


@dataclass(frozen=True)
class Family:
    """A family of models that are called and sampled alike.

    Attributes:
        name: in ``--set family=``.
        title: in print.
        implementation: where its class is, ``module:class``.
        pipelines: class names in ``model_index.json`` that it is known by.
        predicts: what the denoiser's output is: the noise of a ``DDIMSchedule``, or the velocity of a
            ``FlowSchedule``.
        velocity: where the velocity points, if it predicts one.
        schedule: how timesteps are chosen from a number of steps.
        guidance: how it takes a guidance scale, see ``Guidance``.
        weights: its parts that have weights, the denoiser first.
        tokenizers: its parts that turn prompts into tokens.
        most_steps: how many timesteps its schedule chooses from, if it was distilled with a few.
        zeros_for_empty_prompt: unconditional rows are conditioned on zeros, not on the empty prompt, unless
            its ``model_index.json`` says otherwise.
        attention: kinds of its denoiser's attention layers.
        example: a hub id, for messages.
    """

    name: str
    title: str
    implementation: str
    pipelines: tuple[str, ...]
    example: str
    predicts: Predicts = "epsilon"
    velocity: Literal["noise", "image"] = "noise"
    schedule: Literal["leading", "lcm", "uniform"] = "leading"
    guidance: GuidancePolicy = "classifier_free"
    most_steps: int | None = None
    weights: tuple[str, ...] = ("unet", "vae", "text_encoder")
    tokenizers: tuple[str, ...] = ("tokenizer",)
    zeros_for_empty_prompt: bool = False
    attention: tuple[AttentionKind, ...] = ("self", "cross")


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "sd1",
            "Stable Diffusion 1.x",
            "piebench_eval.models.sd1:StableDiffusion",
            ("StableDiffusionPipeline",),
            "CompVis/stable-diffusion-v1-4",
        ),
        Family(
            "sdxl",
            "Stable Diffusion XL",
            "piebench_eval.models.sdxl:StableDiffusionXL",
            ("StableDiffusionXLPipeline",),
            "stabilityai/stable-diffusion-xl-base-1.0",
            weights=("unet", "vae", "text_encoder", "text_encoder_2"),
            tokenizers=("tokenizer", "tokenizer_2"),
            zeros_for_empty_prompt=True,
        ),
        Family(
            "instaflow",
            "InstaFlow",
            "piebench_eval.models.sd1:InstaFlow",
            ("RectifiedFlowPipeline", "InstaFlowPipeline"),
            "XCLiu/2_rectified_flow_from_sd_1_5",
            predicts="velocity",
            velocity="image",
            schedule="uniform",
        ),
        Family(
            "lcm",
            "LCM",
            "piebench_eval.models.sd1:LatentConsistency",
            ("LatentConsistencyModelPipeline",),
            "SimianLuo/LCM_Dreamshaper_v7",
            schedule="lcm",
            most_steps=50,
            guidance="embedded",
        ),
    )
}
"""Every family by its name."""
