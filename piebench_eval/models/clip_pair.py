"""Text embeddings of models that have two of CLIP's text encoders: SDXL and Stable Diffusion 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def encode_by_both(
    encoders: Sequence[Any], ids: Sequence[torch.Tensor], device: torch.device
) -> tuple[torch.Tensor, list[Any]]:
    """Encode a prompt by both encoders.

    Args:
        encoders: transformers' ``CLIPTextModel`` or ``CLIPTextModelWithProjection``.
        ids: the prompt's token ids for each of them ``[1, tokens]``.
        device: where the encoders are.

    Returns:
        The last but one hidden states, without a final layer norm, one beside the other
        ``[1, tokens, both widths]``, float32; and the encoders' outputs.
    """
    outputs = [
        encoder(of_encoder.to(device), output_hidden_states=True)
        for encoder, of_encoder in zip(encoders, ids, strict=True)
    ]
    return torch.cat([output.hidden_states[-2].float() for output in outputs], dim=-1), outputs


def embed_one_by_one(
    prompts: Sequence[str], embed: Callable[[str], dict[str, torch.Tensor]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed prompts, so that each has the same embedding, to the last bit, whatever else is in the batch.

    Args:
        prompts: the prompts.
        embed: embeds one: ``tokens`` and ``pooled``, of one row.

    Returns:
        Both, one row per prompt.
    """
    embeddings = {prompt: embed(prompt) for prompt in dict.fromkeys(prompts)}
    tokens, pooled = (
        torch.cat([embeddings[prompt][name] for prompt in prompts]) for name in ("tokens", "pooled")
    )
    return tokens, pooled
