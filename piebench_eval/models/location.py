"""What can be said of a model and a device before anything heavy is imported."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import locate
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_json_object
from piebench_eval.models.families import FAMILIES, Family, encoder_of, family_of_id
from piebench_eval.models.family_checks import (
    NO_GUIDANCE_INPUT,
    check_family,
    check_shapes,
    wanted_model,
)
from piebench_eval.models.hub import looks_like_hub_id
from piebench_eval.models.quantization import FULL
from piebench_eval.models.vocabulary import TokenizerKind, check_vocabulary_files
from piebench_eval.models.weight_files import STEMS, find_weight_files, read_shapes
from piebench_eval.models.weights import SUFFIX, require_safetensors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DENOISER_CONFIGS = tuple(dict.fromkeys(f"{family.denoiser}/config.json" for family in FAMILIES.values()))
"""The configurations of denoisers: a model has one of them."""

_CONVERT = "convert the checkpoint with diffusers' convert_original_stable_diffusion_to_diffusers.py"


@dataclass(frozen=True)
class ImageSizes:
    """Sides in pixels of the images that a model works with.

    Attributes:
        native: side of the images that it was trained on.
        multiple: every side is a multiple of this.
        largest: longest side that it has positions for, if it can run out of them.
    """

    native: int
    multiple: int
    largest: int | None = None

    def problem(self, resolution: int) -> str | None:
        """Why the model cannot edit at a resolution, and which is near it; None if it can.

        >>> ImageSizes(native=1024, multiple=16).problem(250)
        'resolution 250: must be a multiple of 16 with this model, such as 240 or 256'
        """
        if resolution % self.multiple:
            below = resolution // self.multiple * self.multiple
            near = f"{below} or {below + self.multiple}" if below else f"{self.multiple}"
            needs = f"must be a multiple of {self.multiple} with this model"
            return f"resolution {resolution}: {needs}, such as {near}"
        if self.largest is not None and resolution > self.largest:
            return f"resolution {resolution}: this model has positions for {self.largest} pixels at most"
        return None


def image_sizes(model: str, revision: str | None = None, family: str = "auto") -> ImageSizes | None:
    """The sizes of a model, from its configurations; None where they are not on this machine.

    Args:
        model: a diffusers directory, a hub id, or ``demo``.
        revision: branch, tag or commit on the hub.
        family: see ``find_family``.

    Raises:
        PiebenchError: a configuration cannot be read.
    """
    folder = model_folder(model, revision)
    if folder is None:
        return None
    found = find_family(model, revision, family)
    denoiser, vae = (_read(folder / part / "config.json") for part in (found.denoiser, "vae"))
    widths, side = vae.get("block_out_channels"), denoiser.get("sample_size")
    if found.schedule == "by_size":
        side = side_of_longest(_read(folder / "scheduler" / "scheduler_config.json"), found.packing)
    if not isinstance(widths, list) or not isinstance(side, int):
        return None
    factor = int(2 ** (len(widths) - 1))
    multiple, positions = found.latent_divisor * factor, denoiser.get("pos_embed_max_size")
    return ImageSizes(side * factor, multiple, positions * multiple if isinstance(positions, int) else None)


def side_of_longest(scheduler: Mapping[str, Any], packing: int) -> int:
    """Side of the square latents with the most positions that a flow's scheduler has a shift for.

    It is that of the pictures that a model without a ``sample_size`` was trained on.

    >>> side_of_longest({"max_image_seq_len": 4096}, packing=2)
    128
    """
    return int(packing * isqrt(scheduler.get("max_image_seq_len", 4096)))


def find_family(model: str, revision: str | None = None, family: str = "auto") -> Family:
    """As ``known_family``; Stable Diffusion 1.x where nothing is known."""
    return known_family(model, revision, family) or FAMILIES["sd1"]


def known_family(model: str, revision: str | None = None, family: str = "auto") -> Family | None:
    """The family of a model, by ``model_index.json``, or by the parts in its folder.

    Args:
        model: a diffusers directory, a hub id, or ``demo``.
        revision: branch, tag or commit on the hub.
        family: its name, if the recipe says; else ``auto``.

    Returns:
        The family; None for a hub id of which nothing is on this machine yet, unless it is a well-known one.
    """
    if family != "auto":
        return FAMILIES[family]
    folder = model_folder(model, revision)
    if folder is None:
        return family_of_id(model)
    pipeline = model_index(model, revision).get("_class_name")
    for known in FAMILIES.values():
        if pipeline in known.pipelines and known.name != "sd1":
            return known
    if (folder / "transformer").is_dir() and not (folder / "unet").is_dir():
        config = folder / "transformer" / "config.json"
        denoiser = _read(config).get("_class_name") if config.is_file() else None
        return FAMILIES["flux" if denoiser == FAMILIES["flux"].denoiser_class else "sd3"]
    return FAMILIES["sdxl" if (folder / "text_encoder_2").is_dir() else "sd1"]


def is_on_this_machine(model: str, revision: str | None = None) -> bool:
    """Whether any of a model's configurations can be read here."""
    return model_folder(model, revision) is not None


def found_parts(model: str, revision: str | None = None, family: str = "auto") -> Family:
    """As ``find_family``, without the parts that a model of it can do without and this one has not."""
    found, folder = find_family(model, revision, family), model_folder(model, revision)
    if found.t5 is None or found.needs_t5 or folder is None:
        return found
    # What an index names and the folder lacks was not downloaded: that is an error, and no choice.
    is_snapshot = folder != Path(locate("model", model))
    named = _read_index(folder).get(found.t5, is_snapshot or (folder / found.t5).is_dir())
    return found if named and named != [None, None] else found.without_t5()


def model_index(model: str, revision: str | None = None) -> dict[str, Any]:
    """What a model's ``model_index.json`` says; empty where there is none, or nothing is on this machine."""
    folder = model_folder(model, revision)
    return {} if folder is None else _read_index(folder)


def config_files(family: Family) -> list[str]:
    """The configuration files of a model of a family, in its folder."""
    return [
        *(f"{part}/config.json" for part in family.weights),
        *(f"{part}/tokenizer_config.json" for part in family.tokenizers),
        "scheduler/scheduler_config.json",
    ]


def check_model_location(
    model: str, allow_pickle: bool = False, revision: str | None = None, family: str = "auto"
) -> None:
    """Refuse a model that cannot be a directory or hub id of a known family, before any weight is read.

    A hub id ("owner/name") is looked up when the model is loaded; what the local cache has of it is checked
    here. ``demo`` is the embedded model.

    Raises:
        PiebenchError: a path that does not exist, a directory with parts missing, weights in pickle files
            without ``allow_pickle``, or a model of another family.
    """
    folder, found = Path(locate("model", model)), found_parts(model, revision, family)
    if folder.is_dir():
        _refuse_refiner(folder, model)
        _check_complete(folder, model, found)
        for component in found.weights:
            require_safetensors("--model", model, folder / component, allow_pickle, f"{component}/")
        _check_content(folder, model, allow_pickle, found)
        return
    if folder.is_file():
        raise PiebenchError(
            f"--model {model}: is a file, not a diffusers directory; {_CONVERT}, and give its folder"
        )
    if not looks_like_hub_id(model):
        raise PiebenchError(
            f"--model {model}: no such directory, and not a hub id; give a diffusers directory or an id such "
            f"as {' or '.join(FAMILIES[name].example for name in ('sd1', 'sdxl'))}"
        )
    snapshot = _cached_snapshot(model, revision)
    if snapshot is None:
        return
    _refuse_refiner(snapshot, model)
    if all((snapshot / name).is_file() for name in config_files(found)):
        _check_content(snapshot, model, allow_pickle, found)


def check_guidance_policy(
    model: str,
    policy: str,
    revision: str | None = None,
    family: str = "auto",
    scales: Collection[float] = (),
    embedded: float | None = None,
) -> None:
    """Refuse a guidance scale as an input of a model that takes none, as far as its files are on disk.

    Args:
        model: a diffusers directory, a hub id, or ``demo``.
        policy: ``auto``, or as in ``Family.guidance``.
        revision: branch, tag or commit on the hub.
        family: see ``find_family``.
        scales: those that the policy ``embedded`` would give it; where all of them are 1, some models need no
            input.
        embedded: see ``Guidance``.

    Raises:
        PiebenchError: a scale would be an input, and the denoiser has none for it.
    """
    found = find_family(model, revision, family)
    inputs = scales if (found.guidance if policy == "auto" else policy) == "embedded" else ()
    if inputs is not scales and embedded is None:
        return
    config = denoiser_config(model, revision, family)
    if config is None or config.get(found.guidance_input):
        return
    if found.denoiser == "unet":
        raise PiebenchError(f"--model {model}: {NO_GUIDANCE_INPUT}")
    given = [f"guidance {scale:g}" for scale in dict.fromkeys(inputs) if scale != 1]
    given += [] if embedded in (None, 1) else [f"embedded_guidance {embedded:g}"]
    if given:
        raise PiebenchError(
            f"--model {model}: {found.denoiser}/config.json says no {found.guidance_input} (FLUX.1-schnell?)"
            f": the {found.denoiser} does not take a guidance scale as an input, and the recipe says "
            f"{' and '.join(given)}; set guidance, source_guidance and that of the inversion to 1, or "
            "guidance_policy=classifier_free, and leave out embedded_guidance"
        )


def denoiser_config(model: str, revision: str | None = None, family: str = "auto") -> dict[str, Any] | None:
    """The configuration of a model's denoiser; None where it is not on this machine.

    Raises:
        PiebenchError: it cannot be read.
    """
    folder = model_folder(model, revision)
    file = None if folder is None else folder / find_family(model, revision, family).denoiser / "config.json"
    return _read(file) if file is not None and file.is_file() else None


def read_configs(folder: Path, family: Family) -> dict[str, dict[str, Any]]:
    """The configuration of every part of a directory, by part.

    Raises:
        PiebenchError: one cannot be read.
    """
    return {Path(name).parent.name: _read(folder / name) for name in config_files(family)}


def _refuse_refiner(folder: Path, model: str) -> None:
    """Refuse SDXL's refiner by its index: it lacks parts that a complete model has."""
    index = _read_index(folder)
    of_sdxl = str(index.get("_class_name")).startswith("StableDiffusionXL")
    if of_sdxl and (index.get("requires_aesthetics_score") or index.get("text_encoder") == [None, None]):
        raise PiebenchError(
            f"--model {model}: model_index.json is that of SDXL's refiner, which has no first text encoder "
            f"and only continues what the base model began; give {wanted_model(FAMILIES['sdxl'])}"
        )


def _check_complete(folder: Path, model: str, family: Family) -> None:
    denoiser = family.denoiser
    missing = [name for name in config_files(family) if not (folder / name).is_file()]
    if not missing:
        return
    pipeline = _read_index(folder).get("_class_name")
    if (folder / "pytorch_lora_weights.safetensors").is_file():
        why = (
            "holds a LoRA, and no model; load its base model with diffusers, fuse_lora(), "
            "unload_lora_weights() and save_pretrained(FOLDER), and give that folder"
        )
    elif pipeline not in (None, *family.pipelines) and not (folder / "unet").is_dir():
        titles = ", ".join(known.title for known in FAMILIES.values())
        part = missing[0].split("/")[0]
        why = f"model_index.json says {pipeline}, and there is no {part}/; give a model of one of: {titles}"
    elif (
        family.t5 is not None
        and not family.needs_t5
        and all(encoder_of(name.split("/")[0]) == family.t5 for name in missing)
    ):
        why = (
            f"model_index.json names {family.t5}, but {', '.join(missing)} missing; copy them from where the "
            f"model comes from, or set {family.t5} in model_index.json to [null, null] to go without T5"
        )
    elif (folder / denoiser).is_dir() or denoiser != "unet":  # the script converts UNets alone
        why = (
            f"not a complete diffusers directory, {', '.join(missing)} missing; copy them from where the "
            "model comes from"
        )
    else:
        why = f"not a complete diffusers directory, {', '.join(missing)} missing; {_CONVERT}"
    raise PiebenchError(f"--model {model}: {why}")


def _check_content(folder: Path, model: str, allow_pickle: bool, family: Family) -> None:
    """Check what the configurations and the headers of the weights say."""
    configs = read_configs(folder, family)
    check_family(configs, model, family)
    for tokenizer in family.tokenizers:
        encoder = encoder_of(tokenizer)
        tokens = configs[encoder].get("vocab_size")
        embeddings = tokens if isinstance(tokens, int) else None
        kind: TokenizerKind = "T5" if encoder == family.t5 else "CLIP"
        check_vocabulary_files("--model", model, folder / tokenizer, embeddings, kind)
    for component in family.weights:
        found = find_weight_files(folder / component, component)
        if found is not None:
            check_shapes(component, read_shapes(found.files), configs[component], model)
        elif not allow_pickle and any((folder / component).glob(f"*{SUFFIX}")):
            raise PiebenchError(
                f"--model {model}: {component}/ has no {STEMS[component]}{SUFFIX}, and no "
                f"{STEMS[component]}.fp16{SUFFIX}; rename its weights"
            )


def _read_index(folder: Path) -> dict[str, Any]:
    """``model_index.json``; empty where there is none."""
    index = folder / "model_index.json"
    return _read(index) if index.is_file() else {}


def _read(file: Path) -> dict[str, Any]:
    return read_json_object(file, set(), "restore the file")


def check_device_name(device: str) -> None:
    """Refuse a device name that no machine could have.

    Raises:
        PiebenchError: the name is not ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise PiebenchError(f"--device {device}: use auto, cpu, cuda, cuda:N or mps")


def check_deterministic(precision: str, device: str, weights: str = FULL) -> None:
    """Check that there are deterministic layers for a precision, a device and weights.

    Raises:
        PiebenchError: it is half precision, or no CPU, or weights are quantised.
    """
    if weights != FULL:
        raise PiebenchError(
            f"--deterministic: has layers for weights={FULL} only, not for {weights}; set weights={FULL}, or "
            "leave it out"
        )
    if precision in ("bf16", "fp16") or device != "cpu":
        raise PiebenchError(
            f"--deterministic: has layers for float32 on a CPU only, not for {precision} on {device}; use "
            "--device cpu --precision fp32, or leave it out"
        )


def model_fingerprint(model: str, revision: str | None = None) -> str | None:
    """What tells one set of weights from another: SHA-256 over a directory's files, or a hub id's commit.

    A hub id has been loaded, so its files are in the local cache; None if they are not.
    """
    folder = model_folder(model, revision)
    if folder is None or not Path(locate("model", model)).is_dir():
        return folder.name if folder is not None else None
    digest, family = hashlib.sha256(), found_parts(model, revision)
    for component in (*family.weights, *family.tokenizers, "scheduler"):
        for file in sorted((folder / component).iterdir()):
            if file.is_file():
                add_file(digest, folder, file)
    if family.name != "sd1":
        digest.update(family.name.encode())  # the same files may be taken for another family
    if family.zeros_for_empty_prompt:
        digest.update(str(_read_index(folder).get("force_zeros_for_empty_prompt", True)).encode())
    return digest.hexdigest()


def add_file(digest: hashlib._Hash, folder: Path, file: Path) -> None:
    """Add a file's place in a model's folder, and its content, to a fingerprint."""
    digest.update(file.relative_to(folder).as_posix().encode())
    with file.open("rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())


def model_folder(
    model: str, revision: str | None, known_by: Collection[str] = DENOISER_CONFIGS
) -> Path | None:
    """Where a model's files are on this machine; None for a hub id of which the cache has nothing.

    Args:
        model: a diffusers directory, a hub id, or ``demo``.
        revision: branch, tag or commit on the hub.
        known_by: files, one of which the cache has if it has the model.
    """
    folder = Path(locate("model", model))
    if folder.is_dir():
        return folder
    return _cached_snapshot(model, revision, known_by) if looks_like_hub_id(model) else None


def _cached_snapshot(
    model: str, revision: str | None, known_by: Collection[str] = DENOISER_CONFIGS
) -> Path | None:
    """The folder of the local cache that holds a hub id's files and is named as its commit."""
    from huggingface_hub import try_to_load_from_cache

    for name in known_by:
        file = try_to_load_from_cache(model, name, revision=revision)
        if isinstance(file, str):
            return Path(file).parents[len(Path(name).parts) - 1]
    return None
