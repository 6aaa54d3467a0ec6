"""Loading a diffusers model from a directory or the hub."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from piebench_eval.demo.embedded import is_embedded, locate
from piebench_eval.errors import PiebenchError
from piebench_eval.models.attention import use_plain_attention
from piebench_eval.models.base import HOST
from piebench_eval.models.deterministic import use_deterministic_layers
from piebench_eval.models.families import encoder_of, length_problems
from piebench_eval.models.family_checks import check_family
from piebench_eval.models.from_pretrained import explained_loading, load_complete, quiet_libraries
from piebench_eval.models.hub import require_hub
from piebench_eval.models.location import (
    DENOISER_CONFIGS,
    check_deterministic,
    check_model_location,
    found_parts,
    model_index,
)
from piebench_eval.models.onednn import onednn_is_faster, use_onednn_layers
from piebench_eval.models.plain_layers import use_plain_layers
from piebench_eval.models.precision import use_exact_float32
from piebench_eval.models.quantization import FULL, quantize_blocks, require_quantizer, weights_problems
from piebench_eval.models.sequential_offload import check_sequential_offload, offload_blocks, offloads_blocks
from piebench_eval.models.text_projections import remember_text_projections
from piebench_eval.models.vocabulary import check_tokenizer
from piebench_eval.models.weight_files import find_weight_files
from piebench_eval.models.weights import IF_PICKLED, use_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import Family

PRECISIONS = {
    "fp32": torch.float32,
    "tf32": torch.float32,  # what differs is how a GPU multiplies, see runs.edit
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

SMALL_GPU_BYTES = 24 * 10**9
"""On a GPU with less memory, text encoders make room for the rest; cards sold as 24 GB have a little more."""


def uses_deterministic_layers(
    model: str,
    device: torch.device,
    precision: str,
    deterministic: bool | None = None,
    weights: str = FULL,
) -> bool:
    """Whether a model gets layers whose results do not depend on the number of threads.

    They exist for float32 on a CPU alone, take longer, and move last digits.

    Args:
        model: as in ``load_model``.
        device: where it will lie.
        precision: as in ``load_model``.
        deterministic: whether they are asked for; None asks for embedded models alone.
        weights: as in ``load_model``.

    Raises:
        PiebenchError: they are asked for on another device, in another precision or of quantised weights.
    """
    if deterministic:
        check_deterministic(precision, str(device), weights)
    exist = device.type == "cpu" and PRECISIONS[precision] == torch.float32 and weights == FULL
    return exist and (is_embedded(model) if deterministic is None else deterministic)


def offloads_text_encoders(device: torch.device, asked: bool | None = None) -> bool:
    """Whether a model's text encoders leave a device once prompts are embedded.

    Args:
        device: where the model lies.
        asked: whether they should; None: where a GPU has less than 24 GB of memory. Elsewhere there is
            nothing to leave.
    """
    if device.type != "cuda":
        return False
    if asked is None:
        return torch.cuda.get_device_properties(device).total_memory < SMALL_GPU_BYTES
    return asked


def load_model(
    model: str,
    revision: str | None = None,
    device: torch.device | None = None,
    precision: str = "fp32",
    allow_pickle: bool = False,
    deterministic: bool | None = None,
    family: str = "auto",
    offload_text_encoders: bool | None = None,
    clip_length: int | None = None,
    t5_length: int | None = None,
    weights: str = FULL,
    sequential_offload: bool = False,
) -> DiffusionModel:
    """Load the parts of a model that editing needs; no safety checker, no pipeline.

    Args:
        model: a diffusers directory, a hub id, or ``demo`` or ``demo-flow`` for an embedded model.
        revision: branch, tag or commit on the hub.
        device: where to put it; the CPU by default.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``, of the denoiser and the text encoders.
        allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.
        deterministic: see ``uses_deterministic_layers``.
        family: see ``find_family``.
        offload_text_encoders: see ``offloads_text_encoders``.
        clip_length: how many of CLIP's tokens a prompt has, in families with T5; the tokenizer's if None.
        t5_length: how many of T5's tokens it has there; what the family says if None.
        weights: ``full``, or ``int8`` or ``nf4`` in a transformer's blocks, see ``quantize_blocks``.
        sequential_offload: a transformer's blocks are on a GPU only while they compute, and text encoders
            leave it too unless ``offload_text_encoders`` says otherwise.

    Raises:
        PiebenchError: a part that cannot be loaded, a model of another family, ``deterministic`` on a GPU
            or in half precision, or lengths, quantised weights or offloading that the model does not take.
    """
    device = device or torch.device("cpu")
    deterministic = uses_deterministic_layers(model, device, precision, deterministic, weights)
    require_quantizer(weights)
    use_exact_float32()
    check_model_location(model, allow_pickle, revision, family)
    location = locate("model", model)
    require_hub("--model", location, *DENOISER_CONFIGS)
    if not Path(location).is_dir():
        _fetch_configs(location, revision)
        check_model_location(model, allow_pickle, revision, family)
    found = found_parts(model, revision, family)
    if problems := [*length_problems(found, clip_length, t5_length), *weights_problems(found, weights)]:
        raise PiebenchError("\n".join(problems))
    if sequential_offload:
        check_sequential_offload(found, weights)
    parts = _Parts(model, location, revision, found, allow_pickle)
    configs = parts.configs()
    check_family(configs, model, found)
    tokenizers = {name: parts.tokenizer(name, configs, clip_length) for name in found.tokenizers}
    sequential_offload = offloads_blocks(device, sequential_offload)
    if sequential_offload and offload_text_encoders is None:
        offload_text_encoders = True
    offload = offloads_text_encoders(device, offload_text_encoders)
    on_host = [
        *(found.text_encoders if offload else ()),
        *([found.denoiser] if sequential_offload or weights != FULL else ()),
    ]
    networks = {
        name: parts.weights(
            name,
            HOST if name in on_host else device,
            torch.float32 if name == "vae" else PRECISIONS[precision],
        )
        for name in found.weights
    }
    parts.place_blocks(networks[found.denoiser], device, weights, sequential_offload)
    diffusion_model = implementation(found).from_parts(
        **networks,
        **tokenizers,
        **({"clip_length": clip_length, "t5_length": t5_length} if found.t5 else {}),
        index=model_index(model, revision),
        alphas_cumprod=() if found.has_flow_scheduler else training_alphas(configs["scheduler"]),
        scheduler=configs["scheduler"],
        device=device,
        offload_text_encoders=offload,
        deterministic=deterministic,
    )
    if device.type == "cuda" and precision != "fp32" and found.denoiser == "unet":
        # Tensor cores convolve channels-last; without them there is nothing to gain.
        diffusion_model.denoiser.to(memory_format=torch.channels_last)
    if deterministic:
        for network in networks.values():
            use_deterministic_layers(network)
    if found.denoiser == "unet":
        remember_text_projections(diffusion_model.denoiser)
        use_plain_layers(diffusion_model.denoiser)
    if device.type == "cpu" and onednn_is_faster() and not deterministic:
        use_plain_attention(diffusion_model.denoiser)
        if weights == FULL:
            use_onednn_layers(diffusion_model.denoiser)
    return diffusion_model


def implementation(family: Family) -> type[DiffusionModel]:
    """The class of a family's models."""
    module, _, name = family.implementation.partition(":")
    found: type[DiffusionModel] = getattr(import_module(module), name)
    return found


def training_alphas(scheduler: Mapping[str, Any]) -> list[float]:
    """Cumulative alphas of the training timesteps, by the betas of a scheduler's configuration."""
    from diffusers import DDIMScheduler

    alphas: list[float] = DDIMScheduler.from_config(scheduler).alphas_cumprod.tolist()
    return alphas


@dataclass(frozen=True)
class _Parts:
    """Loads the parts of one model."""

    model: str
    location: str
    revision: str | None
    family: Family
    allow_pickle: bool

    def configs(self) -> dict[str, dict[str, Any]]:
        """The configuration of every part."""
        from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
        from transformers import CLIPTextConfig, T5Config

        found = {}
        for name in self.family.weights:
            if name in self.family.text_encoders:
                kind = T5Config if name == self.family.t5 else CLIPTextConfig
                found[name] = self._load(kind.from_pretrained, name).to_dict()
            else:
                found[name] = self._load(_network_class(name, self.family).load_config, name)
        flows = self.family.has_flow_scheduler
        scheduler = FlowMatchEulerDiscreteScheduler if flows else DDIMScheduler
        return {**found, "scheduler": self._load(scheduler.load_config, "scheduler")}

    def tokenizer(
        self, name: str, configs: Mapping[str, Mapping[str, Any]], clip_length: int | None = None
    ) -> Any:
        """A tokenizer that fits its text encoder."""
        from transformers import CLIPTokenizer, T5Tokenizer

        encoder = encoder_of(name)
        config, is_t5 = configs[encoder], encoder == self.family.t5
        tokenizer = self._load((T5Tokenizer if is_t5 else CLIPTokenizer).from_pretrained, name)
        check_tokenizer("--model", self.model, tokenizer, config["vocab_size"])
        if not is_t5:  # T5 knows no positions, only distances
            positions = config["max_position_embeddings"]
            _check_length(name, tokenizer.model_max_length, positions, self.model)
            _check_clip_length(clip_length, encoder, positions, self.model)
        return tokenizer

    def weights(self, name: str, device: torch.device, dtype: torch.dtype) -> Any:
        """A network."""
        files = find_weight_files(Path(self.location) / name, name)
        options = {
            "device": device,
            "use_safetensors": use_safetensors(self.allow_pickle),
            "torch_dtype": dtype,
        }
        loader = _network_class(name, self.family)
        if files is not None or Path(self.location).is_dir():
            variant = files.variant if files else None
            network = self._load(partial(load_complete, loader), name, variant=variant, **options)
        else:
            network = self._load(partial(_load_whichever_variant, loader), name, **options)
        if name != self.family.denoiser:
            return network
        # Without accelerate, diffusers leaves a transformer with a float32 buffer in the type of its file. Of
        # its warning about modules to be kept in float32, these families have none.
        with quiet_libraries():
            return network.to(dtype)

    def place_blocks(self, denoiser: Any, device: torch.device, weights: str, one_by_one: bool) -> None:
        """Bring a transformer from the CPU to a device: with quantised weights, or blocks as they are called.

        One that lies there with full weights is left alone.
        """
        with explained_loading("--model", f"{self.model}, {self.family.denoiser}", self._wanted):
            if weights != FULL:
                quantize_blocks(denoiser, weights, device)
            if one_by_one:
                offload_blocks(denoiser, device)

    @property
    def _wanted(self) -> str:
        return f"a {self.family.title} directory or hub id {IF_PICKLED}"

    def _load(self, loader: Callable[..., Any], name: str, **options: Any) -> Any:
        with explained_loading("--model", f"{self.model}, {name}", self._wanted):
            return loader(self.location, subfolder=name, revision=self.revision, **options)


def _network_class(name: str, family: Family) -> Any:
    """The library's class of a part."""
    import diffusers
    import transformers

    if name in (family.denoiser, "vae"):
        with quiet_libraries():  # it imports torchao where it finds it, and remarks on that
            return getattr(diffusers, family.denoiser_class if name != "vae" else "AutoencoderKL")
    if name == family.t5:
        return transformers.T5EncoderModel
    return (
        transformers.CLIPTextModelWithProjection if name in family.projected else transformers.CLIPTextModel
    )


def _fetch_configs(model: str, revision: str | None) -> None:
    """Download the few lines that say what a hub id's model is, if its repository has them."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def fetch(file: str) -> bool:
        if (cached := try_to_load_from_cache(model, file, revision=revision)) is not None:
            return isinstance(cached, str)  # it is here, or is known not to be there
        with suppress(HfHubHTTPError, LocalEntryNotFoundError, OSError):  # its loader says what is wrong
            hf_hub_download(model, file, revision=revision)
            return True
        return False

    fetch("model_index.json")
    any(fetch(file) for file in DENOISER_CONFIGS)


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


def _check_length(name: str, of_tokenizer: int, of_text_encoder: int, model: str) -> None:
    """Refuse a tokenizer that would make longer prompts than the text encoder reads."""
    if of_tokenizer > of_text_encoder:
        raise PiebenchError(
            f"--model {model}: {name}/tokenizer_config.json says model_max_length {of_tokenizer}, but the "
            f"text encoder reads {of_text_encoder} tokens; set it to {of_text_encoder}"
        )


def _check_clip_length(asked: int | None, encoder: str, positions: int, model: str) -> None:
    """Refuse more tokens than a text encoder has positions for."""
    if asked is not None and asked > positions:
        raise PiebenchError(
            f"--model {model}: clip_length={asked}, but {encoder}/config.json says max_position_embeddings "
            f"{positions}; set clip_length to {positions} at most, or leave it out"
        )
