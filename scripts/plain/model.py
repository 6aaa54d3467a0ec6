"""The UNet with explicit softmax attention, and a count of its rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.conditioning import Conditioning
from scripts.plain.controls import Control


@dataclass
class PlainModel:
    """A UNet, and the model that embeds prompts for it.

    ``size``: height and width of the images in pixels. ``forward`` and ``backward`` count UNet rows;
    ``control`` acts in the calls that are made with it.
    """

    unet: Any
    texts: DiffusionModel
    size: tuple[int, int]
    control: Control = field(default_factory=Control)
    forward: int = 0
    backward: int = 0

    def embed(self, prompt: str) -> Conditioning:
        """One row."""
        return self.texts.embed_prompts([prompt], self.size)

    def embed_uncond(self) -> Conditioning:
        """The empty prompt; of Stable Diffusion XL zeros."""
        return self.texts.embed_uncond(1, self.size)

    def noise(
        self, latents: torch.Tensor, timestep: int, texts: Conditioning, control: Control | None = None
    ) -> torch.Tensor:
        """Predicted noise of ``[rows, 4, h, w]``."""
        self.control = control or Control()
        self.forward += len(latents)
        return call_unet(self.unet, latents, timestep, texts)


def call_unet(unet: Any, latents: torch.Tensor, timestep: int, texts: Conditioning) -> torch.Tensor:
    """Call a UNet of Stable Diffusion 1.x, or of XL, whose rows have more than tokens."""
    added = None
    if texts.pooled is not None:
        added = {"text_embeds": texts.pooled, "time_ids": texts.vectors["time_ids"]}
    return unet(latents, timestep, texts.tokens, added_cond_kwargs=added).sample


@contextmanager
def plain_model(texts: DiffusionModel, size: tuple[int, int], unet: Any = None) -> Iterator[PlainModel]:
    """Call a UNet plainly; afterwards it is as it was.

    Args:
        texts: the model that embeds prompts.
        size: height and width of the images in pixels.
        unet: in float32; that of ``texts`` by default.
    """
    unet = texts.denoiser if unet is None else unet
    model = PlainModel(unet, texts, size)
    original = dict(unet.attn_processors)
    in_order = [name for place in ("down", "mid", "up") for name in original if name.startswith(place)]
    kinds = {kind: [name for name in in_order if kind in name] for kind in ("attn1", "attn2")}
    processors = {
        name: _Attention(model, kind, layer)
        for kind, names in kinds.items()
        for layer, name in enumerate(names)
    }
    unet.set_attn_processor(processors)
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: model.control.features(output, name)
        )
        for name, module in unet.named_modules()
        if name.endswith(".conv2")
    ]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()
        unet.set_attn_processor(original)


class _Attention:
    """Softmax of QK^T, times V; every map is there in full, to be edited."""

    def __init__(self, model: PlainModel, kind: str, layer: int):
        self.model, self.cross, self.layer = model, kind == "attn2", layer

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        q, k, v = (x.reshape(*x.shape[:2], attn.heads, -1).permute(0, 2, 1, 3) for x in (q, k, v))
        control = self.model.control
        if not self.cross:
            q, k, v = control.states(q, k, v, self.layer)
        maps = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)
        maps = control.maps(maps, self.cross, self.layer)
        out = (maps @ v).permute(0, 2, 1, 3).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))
