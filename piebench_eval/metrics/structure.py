"""Structure distance (Tumanyan et al., CVPR 2022): self-similarity of DINO-ViT keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.base import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from piebench_eval.metrics.edits import Edits
    from piebench_eval.metrics.protocol import StructureRules

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SIDE = 224
_READ_BY_DEFAULT = 11
_PIL_FILTERS = {"pil_bilinear": Image.Resampling.BILINEAR, "pil_bicubic": Image.Resampling.BICUBIC}
_PROJECTIONS = {"keys": (".k_proj", ".key"), "queries": (".q_proj", ".query")}


def self_similarity(tokens: torch.Tensor) -> torch.Tensor:
    """Cosine similarity between all pairs of tokens.

    Args:
        tokens: ``[..., tokens, width]``; keys of all heads, concatenated, in the published protocol.

    Returns:
        Similarities ``[..., tokens, tokens]``.
    """
    directions = tokens / tokens.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return directions @ directions.transpose(-1, -2)


def structure_distances(edits: Edits) -> list[float]:
    """Mean squared difference of the self-similarities of edit and source (Tumanyan et al., equation 3)."""
    rules = edits.protocol.structure
    of_sources = edits.once(
        "self-similarity",
        [edits.channels, rules],
        lambda: list(_similarities(edits, edits.source_images, rules)),
    )
    return [
        float((source - edited).square().mean())
        for source, edited in zip(
            edits.of_owners(of_sources), _similarities(edits, edits.images, rules), strict=True
        )
    ]


def _similarities(edits: Edits, images: Sequence[NDArray[np.uint8]], rules: StructureRules) -> torch.Tensor:
    import torch

    suite = edits.suite
    similarities = []
    for start in range(0, len(images), suite.batch):
        pixels = network_input(images[start : start + suite.batch], rules).to(suite.device)
        with suite.autocast():
            tokens = suite.dino.read(pixels, rules.layer, rules.features).float()
        similarities.append(_similarity(tokens, rules, suite.dino.heads))
    return torch.cat(similarities)


def _similarity(tokens: torch.Tensor, rules: StructureRules, heads: int) -> torch.Tensor:
    if not rules.class_token:
        tokens = tokens[:, 1:]
    if rules.heads == "averaged":
        pictures, number, width = tokens.shape
        by_head = tokens.view(pictures, number, heads, width // heads).transpose(1, 2)
        return self_similarity(by_head)
    return self_similarity(tokens)


def network_input(images: Sequence[NDArray[np.uint8]], rules: StructureRules) -> torch.Tensor:
    """Bring pictures to the ViT's size and value range.

    The reference feeds grey levels 0..255 into a normalisation made for 0..1, and shrinks without
    antialiasing; published numbers contain both, so both are the default.

    Args:
        images: pictures ``[height, width, 3]`` of one size.
        rules: the protocol's choices.

    Returns:
        ``[pictures, 3, 224, 224]``, float32.
    """
    import torch
    from torch.nn import functional

    pil_filter = _PIL_FILTERS.get(rules.resize)
    if pil_filter is not None:
        images = [np.array(Image.fromarray(image).resize((_SIDE, _SIDE), pil_filter)) for image in images]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().float()
    if pil_filter is None:
        pixels = functional.interpolate(
            pixels,
            size=(_SIDE, _SIDE),
            mode="bilinear",
            antialias=rules.resize == "bilinear_antialiased",
        )
    if rules.levels == "0..1":
        pixels = pixels / 255
    elif rules.levels == "-1..1":
        pixels = pixels / 127.5 - 1
    if not rules.normalise:
        return pixels
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std


class _Reached(Exception):
    """Ends a forward pass where its result is known: the layers behind are not computed."""

    def __init__(self, tokens: torch.Tensor):
        super().__init__()
        self.tokens = tokens


class StructureFeatures:
    """The ViT that self-similarities come from.

    Attributes:
        heads: its number of attention heads.
    """

    def __init__(self, model: str, device: torch.device, allow_pickle: bool = False):
        """Load the network.

        Args:
            model: a transformers ViT, directory or hub id; 12 layers, ``facebook/dino-vitb8`` in the paper.
            device: where to put it.
            allow_pickle: accept weights in pickle files, see ``piebench_eval.weights``.

        Raises:
            PiebenchError: the model cannot be loaded, or its weights are in pickle files.
        """
        from transformers import ViTModel

        from piebench_eval.metrics.transformers_network import load_network

        wanted = "a ViT directory or hub id"
        vit = load_network(ViTModel, "--dino", model, wanted, device, allow_pickle, add_pooling_layer=False)
        if vit.config.num_hidden_layers <= _READ_BY_DEFAULT:
            raise PiebenchError(
                f"--dino {model}: has {vit.config.num_hidden_layers} layers; "
                f"structure distance reads layer {_READ_BY_DEFAULT + 1}"
            )
        if vit.config.image_size != _SIDE:
            raise PiebenchError(
                f"--dino {model}: takes pictures of {vit.config.image_size} pixels; structure distance needs "
                f"a ViT for {_SIDE}"
            )
        self.heads: int = vit.config.num_attention_heads
        self._vit = vit

    def read(self, pixels: torch.Tensor, layer: int, features: str) -> torch.Tensor:
        """What a layer makes of pictures.

        Args:
            pixels: ``[pictures, 3, 224, 224]``, as ``network_input`` makes them.
            layer: counted from 0.
            features: ``keys``, ``queries`` or ``tokens`` (the layer's output).

        Returns:
            ``[pictures, tokens, width]``, the class token first; keys and queries of all heads concatenated.

        Raises:
            PiebenchError: the ViT has no such layer.
        """

        def stop(module: torch.nn.Module, inputs: object, output: torch.Tensor | tuple[torch.Tensor]) -> None:
            raise _Reached(output if not isinstance(output, tuple) else output[0])

        handle = self._module(layer, features).register_forward_hook(stop)
        try:
            self._vit(pixels)
        except _Reached as reached:
            return reached.tokens
        finally:
            handle.remove()
        raise AssertionError("the layer was not reached")

    def class_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """The class token of the last layer, ``[pictures, width]``."""
        return self._vit(pixels).last_hidden_state[:, 0]

    def _module(self, layer: int, features: str) -> torch.nn.Module:
        """The layer, or its projection to keys or queries: named otherwise in every release."""
        names = [name for name, _ in self._vit.named_modules()]
        if features in _PROJECTIONS:
            found = [name for name in names if name.endswith(_PROJECTIONS[features])]
        else:
            found = [name for name in names if re.search(r"\blayers?\.\d+$", name)]
        if layer >= len(found):
            raise PiebenchError(f"structure.layer {layer}: the ViT of --dino has {len(found)} layers")
        return self._vit.get_submodule(found[layer])


def dino_similarities(edits: Edits) -> list[float]:
    """Cosine of edit's and source's class tokens (Ruiz et al., DreamBooth, CVPR 2023, section 4).

    Pictures go in as DINO was trained: resized by PIL, 0..1, whatever the protocol does for the structure
    distance.
    """
    import torch

    from piebench_eval.metrics.protocol import StructureRules

    suite = edits.suite
    usual = StructureRules(resize="pil_bicubic", levels="0..1")

    def class_tokens(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        tokens = []
        for start in range(0, len(images), suite.batch):
            pixels = network_input(images[start : start + suite.batch], usual).to(suite.device)
            with suite.autocast():
                tokens.append(suite.dino.class_tokens(pixels).float())
        return torch.cat(tokens)

    of_sources = edits.once("class tokens", [edits.channels], lambda: list(class_tokens(edits.source_images)))
    sources = torch.stack(edits.of_owners(of_sources))
    return torch.cosine_similarity(class_tokens(edits.images), sources).tolist()


STRUCTURE_DISTANCE = Metric(
    title="Structure distance",
    paper="Tumanyan et al., Splicing ViT Features for Semantic Appearance Transfer, CVPR 2022",
    better="lower",
    score=structure_distances,
    sections=("pictures", "structure"),
    networks=("dino",),
    scale=1e3,
    unit="×10³",
)
DINO_SIMILARITY = Metric(
    title="DINO similarity",
    paper="Ruiz et al., DreamBooth, CVPR 2023, with the ViT of the structure distance",
    better="higher",
    score=dino_similarities,
    sections=("pictures",),
    networks=("dino",),
    scale=1e2,
    unit="×10²",
)
