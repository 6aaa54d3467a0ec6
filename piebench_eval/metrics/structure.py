"""Structure distance (Tumanyan et al., CVPR 2022): self-similarity of DINO-ViT keys."""

from __future__ import annotations

import torch
from torch.nn import functional

from piebench_eval.errors import PiebenchError
from piebench_eval.loading import explained_loading, load_complete

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SIDE = 224
_LAYER = 11


def key_self_similarity(keys: torch.Tensor) -> torch.Tensor:
    """Cosine similarity between all pairs of tokens.

    Args:
        keys: keys of all heads, concatenated, ``[tokens, width]``; the class token counts.

    Returns:
        Similarities ``[tokens, tokens]``.
    """
    directions = keys / keys.norm(dim=1, keepdim=True).clamp(min=1e-8)
    return directions @ directions.T


def structure_distance(source: torch.Tensor, edited: torch.Tensor) -> float:
    """Mean squared difference of two self-similarities ``[tokens, tokens]``."""
    return float(functional.mse_loss(source, edited))


class StructureFeatures:
    """The ViT that key self-similarities come from."""

    def __init__(self, model: str, device: torch.device):
        """Load the network.

        Args:
            model: a transformers ViT, directory or hub id; 12 layers, ``facebook/dino-vitb8`` in the paper.
            device: where to put it.

        Raises:
            PiebenchError: the model cannot be loaded.
        """
        from transformers import ViTModel

        with explained_loading("--dino", model, "a ViT directory or hub id"):
            vit = load_complete(ViTModel, model, device, add_pooling_layer=False, torch_dtype=torch.float32)
        if vit.config.num_hidden_layers <= _LAYER:
            raise PiebenchError(
                f"--dino {model}: has {vit.config.num_hidden_layers} layers; "
                f"structure distance reads layer {_LAYER + 1}"
            )
        self._vit = vit
        self._device = device

    @torch.no_grad()
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Key self-similarity of a picture.

        The reference feeds grey levels 0..255 into a normalisation made for 0..1, and shrinks without
        antialiasing; published numbers contain both, so both are kept.

        Args:
            image: ``[3, height, width]``, grey levels 0..255, float32.

        Returns:
            Similarities ``[785, 785]`` for patches of 8 pixels.
        """
        small = functional.interpolate(
            image[None].to(self._device), size=(_SIDE, _SIDE), mode="bilinear", antialias=False
        )
        mean, std = (
            torch.tensor(values, device=self._device)[:, None, None]
            for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        keys: list[torch.Tensor] = []
        projection = _key_projection(self._vit)
        handle = projection.register_forward_hook(lambda module, inputs, output: keys.append(output))
        try:
            self._vit((small - mean) / std)
        finally:
            handle.remove()
        return key_self_similarity(keys[0][0])


def _key_projection(vit: torch.nn.Module) -> torch.nn.Module:
    """The key projection of layer 12 (index 11), found by name in the order of the layers."""
    projections = [module for name, module in vit.named_modules() if name.endswith((".k_proj", ".key"))]
    return projections[_LAYER]
