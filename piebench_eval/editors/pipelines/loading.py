"""Loading a pipeline of diffusers from a directory or the hub."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import locate
from piebench_eval.editors.pipelines.location import (
    check_pipeline_location,
    class_of_pipeline,
    parts_of_pipeline,
)
from piebench_eval.errors import PiebenchError
from piebench_eval.models.weights import IF_PICKLED, use_safetensors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import torch

    from piebench_eval.editors.base import LoadOptions

_LIBRARIES = ("diffusers", "transformers")


def load_pipeline(
    name: str | Mapping[str, str],
    common: Any,
    options: LoadOptions,
    accepts: Sequence[str] = (),
    components: Mapping[str, Any] | None = None,
) -> Any:
    """Load a pipeline for inference: every weight that its networks have is in its files.

    Args:
        name: the class of diffusers; or by the class that the folder names, the one that loads it.
        common: the recipe's common settings: model, revision and precision.
        options: on what and how it is loaded.
        accepts: classes that the model's ``model_index.json`` may name; see ``check_pipeline_location``.
        components: parts that are given and not loaded; None leaves a part out.

    Returns:
        The pipeline, on the device; its progress bars are off, and it draws no watermark, which would be
        scored as part of the edit.

    Raises:
        PiebenchError: it is not there, is of another class, lacks a part or a weight, or does not fit into
            the device's memory.
    """
    import diffusers

    from piebench_eval.models.from_pretrained import explained_loading
    from piebench_eval.models.loading import PRECISIONS
    from piebench_eval.models.precision import use_exact_float32

    use_exact_float32()
    components = components or {}
    check_pipeline_location(common.model, accepts, options.allow_pickle, common.revision, components)
    names = {name} if isinstance(name, str) else set(name.values())
    pipeline_class = getattr(diffusers, name if isinstance(name, str) else "DiffusionPipeline")
    wanted = f"a directory or hub id of {' or '.join(sorted(names))} {IF_PICKLED}"
    with explained_loading("--model", common.model, wanted):
        folder = _downloaded(pipeline_class, common.model, common.revision, options.allow_pickle)
        if str(folder) != common.model:
            check_pipeline_location(common.model, accepts, options.allow_pickle, common.revision, components)
        if not isinstance(name, str):
            pipeline_class = getattr(diffusers, name[class_of_pipeline(folder)])
        _require_parts(pipeline_class, {*parts_of_pipeline(folder), *components})
        dtype = PRECISIONS[common.precision]
        networks = {
            part: _network(folder / part, library, network, dtype, options.allow_pickle)
            for part, (library, network) in parts_of_pipeline(folder).items()
            if part not in components and library in _LIBRARIES and (folder / part / "config.json").is_file()
        }
        pipeline = pipeline_class.from_pretrained(
            folder,
            torch_dtype=dtype,
            use_safetensors=use_safetensors(options.allow_pickle),
            local_files_only=True,
            **networks,
            **components,
        )
        _place(pipeline, options)
    pipeline.set_progress_bar_config(disable=True)
    if getattr(pipeline, "watermark", None) is not None:
        pipeline.watermark = None
    return pipeline


def require_accelerate(option: str) -> None:
    """Check that pipelines can be offloaded.

    Raises:
        PiebenchError: accelerate is not installed.
    """
    from importlib.util import find_spec

    if find_spec("accelerate") is None:
        raise PiebenchError(
            f"{option}: pipelines of diffusers leave the GPU by accelerate, which is not installed; pip "
            f"install accelerate, or leave out {option}"
        )


def _downloaded(pipeline_class: Any, model: str, revision: str | None, allow_pickle: bool) -> Path:
    """The folder of a pipeline; a hub id's files are fetched unless the cache has them."""
    location = locate("model", model)
    if Path(location).is_dir():
        return Path(location)
    from piebench_eval.models.hub import require_hub

    require_hub("--model", model, "model_index.json")
    return Path(
        pipeline_class.download(model, revision=revision, use_safetensors=use_safetensors(allow_pickle))
    )


def _require_parts(pipeline_class: Any, given: Collection[str]) -> None:
    """Check that a pipeline has all that it is made of, before weights are read.

    Raises:
        ValueError: it lacks parts.
    """
    optional = pipeline_class._optional_components
    parameters = inspect.signature(pipeline_class.__init__).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty and each.name != "self"]
    if missing := [name for name in required if name not in {*given, *optional}]:
        raise ValueError(f"it has no {', '.join(missing)}, which {pipeline_class.__name__} is made of")


def _network(folder: Path, library: str, name: str, dtype: torch.dtype, allow_pickle: bool) -> Any:
    """One of a pipeline's networks, on the CPU.

    Raises:
        ValueError: its files lack a weight; the libraries would make one up.
    """
    import torch

    from piebench_eval.models.from_pretrained import load_complete

    plain = [file for file in folder.glob("*.safetensors") if ".fp16." not in file.name]
    variant = "fp16" if not plain and any(folder.glob("*.fp16.safetensors")) else None
    return load_complete(
        getattr(import_module(library), name),
        str(folder),
        torch.device("cpu"),
        torch_dtype=dtype,
        use_safetensors=use_safetensors(allow_pickle),
        variant=variant,
    )


def _place(pipeline: Any, options: LoadOptions) -> None:
    """Bring a pipeline to its device; or keep it on the host, and its parts on the GPU while they compute."""
    if options.device.type == "cuda" and options.sequential_offload:
        pipeline.enable_sequential_cpu_offload(device=options.device)
    elif options.device.type == "cuda" and options.offload_text_encoders:
        pipeline.enable_model_cpu_offload(device=options.device)
    else:
        pipeline.to(options.device)
