"""Weights of 8 or 4 bits in a transformer's blocks, by torchao: less memory, and other pictures.

Activations keep the model's precision: a layer's weights are converted to it whenever the layer computes.
Nothing heavy is imported here before weights are quantised.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from math import gcd
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    import torch

    from piebench_eval.models.families import Family

FULL = "full"
"""Weights as they are in a model's files, at its precision."""

_INSTALL = "pip install 'piebench-eval[quantize]'"
_BLOCK, _SCALES = 64, 256
"""Of NF4: weights that share a scale, and scales that share one of their own; QLoRA's numbers."""


def weights_problems(family: Family, weights: str) -> list[str]:
    """Why a family's weights cannot be quantised; empty if they can, or are not."""
    if weights == FULL or family.has_transformer:
        return []
    return [
        f"weights={weights}: is for the blocks of transformers, and {family.title} has a UNet; leave it at "
        f"{FULL}"
    ]


def require_quantizer(weights: str) -> None:
    """Refuse to quantise without torchao; it is looked for, not imported.

    Raises:
        PiebenchError: it is not installed.
    """
    if weights != FULL and find_spec("torchao") is None:
        raise PiebenchError(
            f"weights={weights}: needs torchao, which is not installed; {_INSTALL}, or leave it at {FULL}"
        )


def quantizer(weights: str) -> dict[str, str]:
    """The library that quantises weights and its version, for records; empty for full ones."""
    return {} if weights == FULL else {"torchao": version("torchao")}


def blocks_of(denoiser: Any) -> list[torch.nn.Module]:
    """The blocks of a transformer, in the order in which they run: nearly all of its weights."""
    return [*denoiser.transformer_blocks, *getattr(denoiser, "single_transformer_blocks", ())]


def quantize_blocks(denoiser: Any, weights: str, device: torch.device) -> None:
    """Quantise the linear layers of a transformer's blocks, and move the transformer to a device.

    Block by block, so that the device never holds more than one of them whole. Embeddings of time, text and
    picture, and the output layer, stay as they are.

    Args:
        denoiser: ``SD3Transformer2DModel`` or ``FluxTransformer2DModel``, on the CPU.
        weights: ``int8``: symmetric, with a scale per output; ``nf4``: 4 bits at the quantiles of a normal
            distribution, with a scale, itself of 8 bits, per 64 weights (Dettmers et al., QLoRA, NeurIPS
            2023, section 3).
        device: where the transformer is to lie.

    Raises:
        PiebenchError: torchao is too old, or a layer does not consist of whole blocks of 64 weights.
    """
    from torch import nn

    quantize = _to_int8 if weights == "int8" else _to_nf4
    for block in blocks_of(denoiser):
        block.to(device)
        for name, layer in block.named_modules():
            if isinstance(layer, nn.Linear):
                quantize(layer, name)
    denoiser.to(device)


def _to_int8(layer: torch.nn.Linear, name: str) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    # Settings of the compiler are left alone: a run that compiles has its own.
    quantize_(layer, Int8WeightOnlyConfig(set_inductor_config=False))


def _to_nf4(layer: torch.nn.Linear, name: str) -> None:
    from torch import nn

    try:
        from torchao.quantization import to_nf4
    except ImportError:
        raise PiebenchError(
            f"weights=nf4: torchao {version('torchao')} is too old; {_INSTALL} --upgrade, or set weights=int8"
        ) from None
    blocks, rest = divmod(layer.weight.numel(), _BLOCK)
    if rest:
        raise PiebenchError(
            f"weights=nf4: {name} has {layer.weight.numel()} weights, which blocks of {_BLOCK} do not fill; "
            "set weights=int8"
        )
    layer.weight = nn.Parameter(to_nf4(layer.weight.data, _BLOCK, gcd(blocks, _SCALES)), requires_grad=False)
