"""Loading a diffusers Stable Diffusion 1.x model from a directory or the hub."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from piebench_eval.demo.embedded import DEMO, locate
from piebench_eval.errors import PiebenchError
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.deterministic import use_deterministic_layers
from piebench_eval.models.family import check_family
from piebench_eval.models.from_pretrained import explained_loading, load_complete
from piebench_eval.models.hub import require_hub
from piebench_eval.models.location import check_deterministic, check_device_name, check_model_location
from piebench_eval.models.precision import use_exact_float32
from piebench_eval.models.vocabulary import check_tokenizer
from piebench_eval.models.weight_files import find_weight_files
from piebench_eval.models.weights import IF_PICKLED, use_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable

PRECISIONS = {
    "fp32": torch.float32,
    "tf32": torch.float32,  # what differs is how a GPU multiplies, see runs.edit
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def resolve_device(device: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that is there.

    Returns:
        The device; a CUDA device with its index, without which ``torch.cuda.set_device`` refuses it.

    Raises:
        PiebenchError: a name that is none of these, or a device that this machine does not have.
    """
    check_device_name(device)
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
        device = "cuda"
    resolved = torch.device(device)
    if resolved.type == "cuda":
        if resolved.index is None:
            # Before anything has begun to use CUDA, its current device is the first; asking would begin to.
            current = torch.cuda.current_device() if torch.cuda.is_initialized() else 0
            resolved = torch.device("cuda", current)
        if resolved.index >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise PiebenchError(f"--device {device}: this machine has {count} CUDA devices")
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise PiebenchError("--device mps: this machine has no Metal device")
    return resolved


def uses_deterministic_layers(
    model: str, device: torch.device, precision: str, deterministic: bool | None = None
) -> bool:
    """Whether a model gets layers whose results do not depend on the number of threads.

    They exist for float32 on a CPU alone, take longer, and move last digits.

    Args:
        model: as in ``load_model``.
        device: where it will lie.
        precision: as in ``load_model``.
        deterministic: whether they are asked for; None asks for the embedded model alone.

    Raises:
        PiebenchError: they are asked for on another device or in another precision.
    """
    if deterministic:
        check_deterministic(precision, str(device))
    exist = device.type == "cpu" and PRECISIONS[precision] == torch.float32
    return exist and (model == DEMO if deterministic is None else deterministic)


def load_model(
    model: str,
    revision: str | None = None,
    device: torch.device | None = None,
    precision: str = "fp32",
    allow_pickle: bool = False,
    deterministic: bool | None = None,
) -> DiffusionModel:
    """Load the parts of a model that editing needs; no safety checker, no pipeline.

    Args:
        model: a diffusers directory, a hub id, or ``demo`` for the embedded model.
        revision: branch, tag or commit on the hub.
        device: where to put it; the CPU by default.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``, of the UNet and the text encoder.
        allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.
        deterministic: see ``uses_deterministic_layers``.

    Raises:
        PiebenchError: a part that cannot be loaded, a model of another family, or ``deterministic`` on a GPU
            or in half precision.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    device = device or torch.device("cpu")
    deterministic = uses_deterministic_layers(model, device, precision, deterministic)
    use_exact_float32()
    check_model_location(model, allow_pickle, revision)
    location = locate("model", model)
    require_hub("--model", location, "unet/config.json")

    def part(loader: Callable[..., Any], name: str, **options: Any) -> Any:
        wanted = f"a Stable Diffusion 1.x directory or hub id {IF_PICKLED}"
        with explained_loading("--model", f"{model}, {name}", wanted):
            return loader(location, subfolder=name, revision=revision, **options)

    def weights(loader: Any, name: str, dtype: torch.dtype) -> Any:
        files = find_weight_files(Path(location) / name, name)
        options = {"device": device, "use_safetensors": use_safetensors(allow_pickle), "torch_dtype": dtype}
        if files is not None or Path(location).is_dir():
            variant = files.variant if files else None
            return part(partial(load_complete, loader), name, variant=variant, **options)
        return part(partial(_load_whichever_variant, loader), name, **options)

    configs = {
        "unet": part(UNet2DConditionModel.load_config, "unet"),
        "vae": part(AutoencoderKL.load_config, "vae"),
        "text_encoder": part(CLIPTextConfig.from_pretrained, "text_encoder").to_dict(),
        "scheduler": part(DDIMScheduler.load_config, "scheduler"),
    }
    check_family(configs, model)
    tokenizer = part(CLIPTokenizer.from_pretrained, "tokenizer")
    check_tokenizer("--model", model, tokenizer, configs["text_encoder"]["vocab_size"])
    _check_length(tokenizer.model_max_length, configs["text_encoder"]["max_position_embeddings"], model)
    diffusion_model = DiffusionModel(
        unet=weights(UNet2DConditionModel, "unet", PRECISIONS[precision]),
        vae=weights(AutoencoderKL, "vae", torch.float32),
        text_encoder=weights(CLIPTextModel, "text_encoder", PRECISIONS[precision]),
        tokenizer=tokenizer,
        alphas_cumprod=DDIMScheduler.from_config(configs["scheduler"]).alphas_cumprod.tolist(),
        device=device,
    )
    if device.type == "cuda" and precision != "fp32":
        # Tensor cores convolve channels-last; without them there is nothing to gain.
        diffusion_model.unet.to(memory_format=torch.channels_last)
    if deterministic:
        for network in (diffusion_model.unet, diffusion_model.vae, diffusion_model.text_encoder):
            use_deterministic_layers(network)
    return diffusion_model


def _load_whichever_variant(loader: Any, location: str, device: torch.device, **options: Any) -> Any:
    """Load a part from the hub: its plain weights, or those of half precision where it has no others."""
    try:
        return load_complete(loader, location, device, **options)
    except OSError:
        try:
            return load_complete(loader, location, device, variant="fp16", **options)
        except OSError:
            pass  # the plain name's error is the one that says what is wrong
        raise


def _check_length(of_tokenizer: int, of_text_encoder: int, model: str) -> None:
    """Refuse a tokenizer that would make longer prompts than the text encoder reads."""
    if of_tokenizer > of_text_encoder:
        raise PiebenchError(
            f"--model {model}: tokenizer/tokenizer_config.json says model_max_length {of_tokenizer}, but the "
            f"text encoder reads {of_text_encoder} tokens; set it to {of_text_encoder}"
        )
