"""Loading a network of one folder or hub id with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.models.hub import require_hub
from piebench_eval.models.weights import IF_PICKLED, require_safetensors, use_safetensors

if TYPE_CHECKING:
    import torch


def load_network(
    model_class: Any,
    option: str,
    name: str,
    wanted: str,
    device: torch.device,
    allow_pickle: bool,
    **options: Any,
) -> Any:
    """Load a network in float32.

    Args:
        model_class: transformers' class.
        option: the option that names it.
        name: its value, a directory or hub id.
        wanted: what the option takes.
        device: where to put it.
        allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.
        options: what else ``from_pretrained`` takes.

    Raises:
        PiebenchError: it cannot be loaded, lacks a weight, or its weights are in pickle files.
    """
    import torch

    from piebench_eval.models.from_pretrained import explained_loading, load_complete

    require_hub(option, name, "config.json")
    if Path(name).is_dir():
        require_safetensors(option, name, Path(name), allow_pickle)
    with explained_loading(option, name, f"{wanted} {IF_PICKLED}"):
        return load_complete(
            model_class,
            name,
            device,
            torch_dtype=torch.float32,
            use_safetensors=use_safetensors(allow_pickle),
            **options,
        )
