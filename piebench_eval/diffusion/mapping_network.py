"""StyleDiffusion's mapping network: from a picture's tokens to a scale and a shift of a prompt's."""

from __future__ import annotations

import torch
from torch.nn import functional, init

_SLOPE = 0.01
"""Of the leaky rectifier below zero."""


class MappingNetwork:
    """Three layers over tokens, the same at every place of their width (Li et al., section 3.2).

    With x of a picture, ``end(leaky(norm(hidden(start(x)))))``: ``start``, ``hidden`` and ``end`` are
    convolutions of size 1 whose channels are the tokens, and ``norm`` brings each channel to mean 0 and
    variance 1 over the width, as batch normalisation in training does with a single picture.

    Attributes:
        parameters: its parameters by name, float32, which require gradients.
    """

    def __init__(self, picture_tokens: int, text_tokens: int, seed: int, device: torch.device):
        """Draw the parameters, from the same numbers on every device.

        Args:
            picture_tokens: tokens that it is given.
            text_tokens: tokens of a prompt; it returns twice as many.
            seed: of what its weights are drawn from.
            device: where they lie.
        """
        generator, channels = torch.Generator().manual_seed(seed), 2 * text_tokens
        drawn = {
            f"{name}.{kind}": values
            for name, given in (("hidden", channels), ("start", picture_tokens), ("end", channels))
            for kind, values in _drawn_layer(channels, given, generator).items()
        }
        own = {name: values.to(device) for name, values in drawn.items()}
        own["norm.weight"] = torch.ones(channels, device=device)
        own["norm.bias"] = torch.zeros(channels, device=device)
        self.parameters = {name: values.requires_grad_() for name, values in own.items()}

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map a picture's tokens ``[tokens, width]``; returns ``[2, tokens of a prompt, width]``."""
        of = self.parameters
        hidden = self._layer("hidden", self._layer("start", tokens))
        normed = functional.layer_norm(hidden, hidden.shape[-1:])
        normed = normed * of["norm.weight"][:, None] + of["norm.bias"][:, None]
        return self._layer("end", functional.leaky_relu(normed, _SLOPE)).unflatten(0, (2, -1))

    def _layer(self, name: str, tokens: torch.Tensor) -> torch.Tensor:
        return self.parameters[f"{name}.weight"] @ tokens + self.parameters[f"{name}.bias"][:, None]


def _drawn_layer(channels: int, given: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A layer's weight and bias as PyTorch draws those of a convolution, in its order."""
    weight = init.kaiming_uniform_(torch.empty(channels, given), a=5**0.5, generator=generator)
    bound = given**-0.5
    return {
        "weight": weight,
        "bias": init.uniform_(torch.empty(channels), -bound, bound, generator=generator),
    }
