"""The families of models: what tells them apart, and what inversions and methods ask about them.

Nothing heavy is imported here, so that a plan can be checked before any weight is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        schedule: how timesteps are chosen from a number of steps; ``shifted`` by the shift in the scheduler's
            configuration, ``by_size`` so, or by a shift that the picture's size decides.
        guidance: how it takes a guidance scale, see ``Guidance``.
        guidance_input: field of the denoiser's configuration that says whether it takes a scale as an input.
        weights: its parts that have weights, the denoiser first.
        tokenizers: its parts that turn prompts into tokens, each of the text encoder of the same number.
        denoiser_class: diffusers' class of the denoiser.
        projected: text encoders with a projection, which embed whole prompts.
        t5: the text encoder that is T5's, if it has one.
        needs_t5: whether a model cannot do without it.
        t5_length: how many of T5's tokens it is given unless the recipe says otherwise; 0 for none.
        latent_channels: of the autoencoder.
        latent_shift: whether its autoencoder's latents are shifted before they are scaled.
        latent_divisor: what the sides of latents are multiples of: a UNet halves them three times, and a
            transformer cuts them into patches.
        packing: side of the patches as which its pipelines pack latents; 1 where they do not. Noise is drawn
            in the order of packed latents, and Uni-Edit's mask has one value for each patch.
        most_steps: how many timesteps its schedule chooses from, if it was distilled with a few.
        zeros_for_empty_prompt: unconditional rows are conditioned on zeros, not on the empty prompt, unless
            its ``model_index.json`` says otherwise.
        attention: kinds of its denoiser's attention layers.
        value_texts: whether its cross-attention takes texts of their own for values, see
            ``Conditioning.with_values``.
        single_stream: some of its blocks have one stream of text and image, see ``AttentionLayer.single``.
        example: a hub id, for messages.
        others: further hub ids that its models are known by, before anything of them is on this machine.
    """

    name: str
    title: str
    implementation: str
    pipelines: tuple[str, ...]
    example: str
    predicts: Predicts = "epsilon"
    velocity: Literal["noise", "image"] = "noise"
    schedule: Literal["leading", "lcm", "uniform", "shifted", "by_size"] = "leading"
    guidance: GuidancePolicy = "classifier_free"
    guidance_input: str = "time_cond_proj_dim"
    most_steps: int | None = None
    weights: tuple[str, ...] = ("unet", "vae", "text_encoder")
    tokenizers: tuple[str, ...] = ("tokenizer",)
    denoiser_class: str = "UNet2DConditionModel"
    projected: tuple[str, ...] = ()
    t5: str | None = None
    needs_t5: bool = False
    t5_length: int = 0
    latent_channels: int = 4
    latent_shift: bool = False
    latent_divisor: int = 8
    packing: int = 1
    zeros_for_empty_prompt: bool = False
    attention: tuple[AttentionKind, ...] = ("self", "cross")
    value_texts: bool = False
    single_stream: bool = False
    others: tuple[str, ...] = ()

    @property
    def denoiser(self) -> str:
        """The part that is called in every step."""
        return self.weights[0]

    @property
    def has_transformer(self) -> bool:
        """Whether its denoiser is a transformer, a row of like blocks, and not a UNet."""
        return self.denoiser == "transformer"

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """The parts that embed prompts."""
        return tuple(part for part in self.weights if part.startswith("text_encoder"))

    @property
    def has_flow_scheduler(self) -> bool:
        """Whether its scheduler is a ``FlowMatchEulerDiscreteScheduler``, which has no alphas."""
        return self.schedule in ("shifted", "by_size")

    def without_t5(self) -> Family:
        """The family of a model that goes without T5."""
        return replace(
            self,
            weights=tuple(part for part in self.weights if part != self.t5),
            tokenizers=tuple(part for part in self.tokenizers if encoder_of(part) != self.t5),
        )


def length_problems(family: Family, clip_length: int | None, t5_length: int | None) -> list[str]:
    """Why a family cannot be given other numbers of tokens than its own; empty if it can, or is not."""
    asked = {"clip_length": clip_length, "t5_length": t5_length}
    return [
        f"{name}={length}: {family.title} has no T5, and reads as many tokens as its tokenizer says; "
        "leave it out"
        for name, length in asked.items()
        if length is not None and not family.t5_length
    ]


def encoder_of(tokenizer: str) -> str:
    """The text encoder that a tokenizer makes tokens for.

    >>> encoder_of("tokenizer_2")
    'text_encoder_2'
    """
    return tokenizer.replace("tokenizer", "text_encoder")


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "sd1",
            "Stable Diffusion 1.x",
            "piebench_eval.models.sd1:StableDiffusion",
            ("StableDiffusionPipeline",),
            "CompVis/stable-diffusion-v1-4",
            value_texts=True,
            others=(
                "stable-diffusion-v1-5/stable-diffusion-v1-5",
                "runwayml/stable-diffusion-v1-5",
            ),
        ),
        Family(
            "sdxl",
            "Stable Diffusion XL",
            "piebench_eval.models.sdxl:StableDiffusionXL",
            ("StableDiffusionXLPipeline",),
            "stabilityai/stable-diffusion-xl-base-1.0",
            weights=("unet", "vae", "text_encoder", "text_encoder_2"),
            tokenizers=("tokenizer", "tokenizer_2"),
            projected=("text_encoder_2",),
            zeros_for_empty_prompt=True,
            others=("stabilityai/sdxl-turbo",),
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
            others=("XCLiu/instaflow_0_9B_from_sd_1_5",),
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
        Family(
            "sd3",
            "Stable Diffusion 3",
            "piebench_eval.models.sd3:StableDiffusion3",
            (
                "StableDiffusion3Pipeline",
                "StableDiffusion3Img2ImgPipeline",
                "StableDiffusion3InpaintPipeline",
            ),
            "stabilityai/stable-diffusion-3-medium-diffusers",
            predicts="velocity",
            schedule="shifted",
            weights=("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"),
            tokenizers=("tokenizer", "tokenizer_2", "tokenizer_3"),
            denoiser_class="SD3Transformer2DModel",
            projected=("text_encoder", "text_encoder_2"),
            t5="text_encoder_3",
            t5_length=256,
            latent_channels=16,
            latent_shift=True,
            latent_divisor=2,
            attention=("joint",),
            others=(
                "stabilityai/stable-diffusion-3.5-medium",
                "stabilityai/stable-diffusion-3.5-large",
                "stabilityai/stable-diffusion-3.5-large-turbo",
            ),
        ),
        Family(
            "flux",
            "FLUX.1",
            "piebench_eval.models.flux:Flux",
            ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
            "black-forest-labs/FLUX.1-dev",
            predicts="velocity",
            schedule="by_size",
            guidance="embedded",
            guidance_input="guidance_embeds",
            weights=("transformer", "vae", "text_encoder", "text_encoder_2"),
            tokenizers=("tokenizer", "tokenizer_2"),
            denoiser_class="FluxTransformer2DModel",
            t5="text_encoder_2",
            needs_t5=True,
            t5_length=512,
            latent_channels=16,
            latent_shift=True,
            latent_divisor=2,
            packing=2,
            attention=("joint",),
            single_stream=True,
            others=("black-forest-labs/FLUX.1-schnell",),
        ),
    )
}
"""Every family by its name."""


def family_of_id(model: str) -> Family | None:
    """The family of a well-known hub id; None of any other name.

    >>> family_of_id("black-forest-labs/FLUX.1-schnell").name
    'flux'
    """
    return next((one for one in FAMILIES.values() if model in (one.example, *one.others)), None)
