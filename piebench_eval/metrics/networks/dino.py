"""The DINO ViT of the structure distance: features of any of its layers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    import torch
    from torch.utils.hooks import RemovableHandle


SIDE = 224
_DEFAULT_LAYER = 11
_PROJECTIONS = {"keys": (".k_proj", ".key"), "queries": (".q_proj", ".query")}


class _Reached(Exception):
    """Ends a forward pass after the layer that is read, to save the computation of the later ones."""

    def __init__(self, tokens: torch.Tensor):
        super().__init__()
        self.tokens = tokens


class StructureFeatures:
    """The ViT of the structure distance.

    Attributes:
        heads: its number of attention heads.
    """

    def __init__(self, model: str, device: torch.device, allow_pickle: bool = False):
        """Load the network.

        Args:
            model: a transformers ViT, directory or hub id; 12 layers, ``facebook/dino-vitb8`` in the paper.
            device: where to put it.
            allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.

        Raises:
            PiebenchError: the model cannot be loaded, or its weights are in pickle files.
        """
        from transformers import ViTModel

        from piebench_eval.models.hf_loading import load_network
        from piebench_eval.models.onednn import use_onednn_layers_where_faster

        wanted = "a ViT directory or hub id"
        vit = load_network(ViTModel, "--dino", model, wanted, device, allow_pickle, add_pooling_layer=False)
        if vit.config.num_hidden_layers <= _DEFAULT_LAYER:
            raise PiebenchError(
                f"--dino {model}: has {vit.config.num_hidden_layers} layers; "
                f"structure distance reads layer {_DEFAULT_LAYER + 1}"
            )
        if vit.config.image_size != SIDE:
            raise PiebenchError(
                f"--dino {model}: takes pictures of {vit.config.image_size} pixels; structure distance needs "
                f"a ViT for {SIDE}"
            )
        use_onednn_layers_where_faster(vit, device)
        self.heads: int = vit.config.num_attention_heads
        self._vit = vit

    def read(self, pixels: torch.Tensor, layer: int, features: str) -> torch.Tensor:
        """The features of a layer.

        Args:
            pixels: ``[images, 3, 224, 224]``, as ``network_input`` makes them.
            layer: counted from 0.
            features: ``keys``, ``queries`` or ``tokens`` (the layer's output).

        Returns:
            ``[images, tokens, width]``, the class token first; keys and queries of all heads concatenated.

        Raises:
            PiebenchError: the ViT has no such layer.
        """

        handle = self._stop_at(layer, features)
        try:
            self._vit(pixels)
        except _Reached as reached:
            return reached.tokens
        finally:
            handle.remove()
        raise AssertionError("the layer was not reached")

    def class_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """The class token of the last layer, ``[images, width]``."""
        return self._vit(pixels).last_hidden_state[:, 0]

    def _stop_at(self, layer: int, features: str) -> RemovableHandle:
        """Let the next pass end where a layer's features are known.

        Keys and queries are projected from the attention's input, before its other projections are computed.
        """
        module = self._module(layer, features)
        if features not in _PROJECTIONS:

            def stop_behind(_: object, __: object, output: torch.Tensor | tuple[torch.Tensor]) -> None:
                raise _Reached(output if not isinstance(output, tuple) else output[0])

            return module.register_forward_hook(stop_behind)

        def stop_before(_: object, inputs: tuple[torch.Tensor], named: dict[str, torch.Tensor]) -> None:
            raise _Reached(module(inputs[0] if inputs else named["hidden_states"]))

        return self._attention_of(module).register_forward_pre_hook(stop_before, with_kwargs=True)

    def _attention_of(self, projection: torch.nn.Module) -> torch.nn.Module:
        return next(module for module in self._vit.modules() if projection in module.children())

    def _module(self, layer: int, features: str) -> torch.nn.Module:
        """The layer, or its projection to keys or queries; their names depend on transformers' release."""
        names = [name for name, _ in self._vit.named_modules()]
        if features in _PROJECTIONS:
            found = [name for name in names if name.endswith(_PROJECTIONS[features])]
        else:
            found = [name for name in names if re.search(r"\blayers?\.\d+$", name)]
        if layer >= len(found):
            raise PiebenchError(f"structure.layer {layer}: the ViT of --dino has {len(found)} layers")
        return self._vit.get_submodule(found[layer])
