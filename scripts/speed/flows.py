"""Transformers and autoencoders of the flow models' own shapes, with random weights; no text encoders."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel

from piebench_eval.errors import PiebenchError
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.families import FAMILIES, Family
from piebench_eval.models.loading import implementation


@dataclass(frozen=True)
class FlowSize:
    """What speed depends on, as in the published configurations.

    Attributes:
        family: name of the family.
        transformer: configuration of the transformer.
        scheduler: configuration of the scheduler.
        scaling: of the autoencoder's latents, and how they are shifted.
        shift: likewise.
        vae: channels of the autoencoder's levels.
    """

    family: str
    transformer: dict[str, Any]
    scheduler: dict[str, Any]
    scaling: float
    shift: float
    vae: tuple[int, int, int, int] = (128, 256, 512, 512)

    @property
    def blocks(self) -> dict[str, int]:
        """How many blocks it has, by the fields of its configuration."""
        names = ("num_layers", "num_single_layers")
        return {name: self.transformer[name] for name in names if name in self.transformer}


_SD3 = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
}
_NEWER = {"pos_embed_max_size": 384, "dual_attention_layers": tuple(range(13)), "qk_norm": "rms_norm"}
_FLUX = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}
_BY_SIZE = {"use_dynamic_shifting": True, "shift": 3.0, "base_image_seq_len": 256, "max_image_seq_len": 4096}

FLOW_SIZES = {
    "sd3": FlowSize("sd3", _SD3, {"shift": 3.0}, 1.5305, 0.0609),
    "sd3.5-medium": FlowSize("sd3", {**_SD3, **_NEWER}, {"shift": 3.0}, 1.5305, 0.0609),
    "flux": FlowSize("flux", _FLUX, _BY_SIZE, 0.3611, 0.1159),
}
"""Stable Diffusion 3 medium, 3.5 medium and FLUX.1-dev: transformers of 2.0, 2.2 and 11.9 billion weights."""

_TRANSFORMERS = {"sd3": SD3Transformer2DModel, "flux": FluxTransformer2DModel}


def family_of(size: FlowSize) -> Family:
    """The family of a size."""
    return FAMILIES[size.family]


def with_blocks(size: FlowSize, blocks: list[int]) -> FlowSize:
    """A size with fewer blocks of its transformer, in the order of ``FlowSize.blocks``.

    Raises:
        PiebenchError: another number of kinds, or more blocks than it has.
    """
    own = size.blocks
    if len(blocks) != len(own) or any(new > old for new, old in zip(blocks, own.values(), strict=True)):
        wanted = " and ".join(f"up to {count} ({name})" for name, count in own.items())
        raise PiebenchError(
            f"--blocks {','.join(map(str, blocks))}: give {wanted}, with a comma between them"
        )
    fewer: dict[str, Any] = dict(zip(own, blocks, strict=True))
    if dual := size.transformer.get("dual_attention_layers"):
        fewer["dual_attention_layers"] = tuple(layer for layer in dual if layer < blocks[0])
    return replace(size, transformer={**size.transformer, **fewer})


def new_flow_model(size: FlowSize, device: torch.device, dtype: torch.dtype) -> DiffusionModel:
    """A model that predicts, encodes and decodes; its weights are drawn on the device, in their own type.

    Args:
        size: its size.
        device: where it lies; ``meta`` for one without data.
        dtype: of the transformer; the autoencoder is in float32.
    """
    with device:
        vae = AutoencoderKL(
            block_out_channels=size.vae,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            norm_num_groups=min(32, size.vae[0]),
            latent_channels=16,
            scaling_factor=size.scaling,
            shift_factor=size.shift,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # 12 billion weights in float32 would not fit beside those in bf16
        try:
            transformer = _TRANSFORMERS[size.family](**size.transformer)
        finally:
            torch.set_default_dtype(before)
    torch.nn.Module.to(transformer, dtype)  # its table of positions; diffusers' own warns of it
    networks = {"vae": vae, "transformer": transformer}
    for network in networks.values():
        network.eval().requires_grad_(False)
    family = family_of(size)
    absent = dict.fromkeys((*family.text_encoders, *family.tokenizers))
    return implementation(family)(**networks, **absent, device=device, scheduler=size.scheduler)
