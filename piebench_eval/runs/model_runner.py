"""The runner of every real run: it edits batches with a diffusion model."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from piebench_eval.data.prefetch import ImagePrefetcher
from piebench_eval.diffusion.feature_limits import FeatureLimits
from piebench_eval.editors import EDITORS
from piebench_eval.models.quantization import FULL, quantizer
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.plugins import code_of, plugin_errors
from piebench_eval.runs.feature_needs import require_room
from piebench_eval.runs.feature_places import room_within, worker_limits
from piebench_eval.runs.jobs import image_encoders, model_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.observer import EditObserver
    from piebench_eval.editors.base import LoadedEditor
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import ModelSpec
    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.runner import EditResult


class ModelRunner:
    """Edits batches with one model at a time; heavy imports happen here, in the worker's process.

    Attributes:
        device: the device of the model.
    """

    def __init__(self, spec: WorkerSpec, recipe: Recipe):
        import torch

        from piebench_eval.models.device import resolve_device

        if spec.threads:
            torch.set_num_threads(spec.threads)
        self.device = resolve_device(spec.device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self._spec, self._machine, self._recipe = spec, spec.machine, recipe
        self._feature_limits = FeatureLimits()
        self._model: DiffusionModel | LoadedEditor | None = None
        self._deterministic = False
        self._weights_bytes = 0
        self._quantizer: dict[str, str] = {}
        self._image_encoders: dict[str, str | None] = {}
        self._prefetcher = ImagePrefetcher()

    @property
    def about(self) -> dict[str, Any]:
        """The device and its machine, for the session log."""
        import torch

        from piebench_eval.runs.store.manifest import describe_device

        return {
            "device": describe_device(self.device),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "threads": torch.get_num_threads(),
            "compiled": self._machine.compile,
            "deterministic": self._deterministic,
            **self._quantizer,
            **({"image_encoders": self._image_encoders} if self._image_encoders else {}),
        }

    @property
    def capacity(self) -> int | None:
        """Bytes of a GPU's memory that this process can have now; None elsewhere.

        That is what is free, and what PyTorch holds here already; others may share the GPU.
        """
        import torch

        if self.device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(free + torch.cuda.memory_reserved(self.device))

    @property
    def weights_bytes(self) -> int:
        """Bytes of it that the weights take."""
        return self._weights_bytes

    def load(self, model: ModelSpec) -> str | None:
        """Load a model in place of the one before, and return its fingerprint.

        Raises:
            PiebenchError: it cannot be loaded, or a combination or a resolution of the recipe does not
                go with it.
        """
        from piebench_eval.editors.pipelines.location import pipeline_fingerprint
        from piebench_eval.models.cache import Cache
        from piebench_eval.models.compile import compile_blocks
        from piebench_eval.models.device_errors import release_memory
        from piebench_eval.models.loading import load_model, uses_deterministic_layers
        from piebench_eval.models.location import model_fingerprint
        from piebench_eval.runs.batch_editing import working_resolution

        if self._model is not None:
            self._model = None
            release_memory()  # networks that leave the GPU while others compute hold one another
        if model.editor:
            self._model = self._load_editor(model)
            self._measure_weights()
            is_pipeline = EDITORS.get(model.editor).pipelines is not None
            return pipeline_fingerprint(model.name, model.revision) if is_pipeline else None
        asked = self._machine.deterministic
        self._deterministic = uses_deterministic_layers(
            model.name, self.device, model.precision, asked, model.weights
        )
        diffusion_model = load_model(
            model.name,
            model.revision,
            self.device,
            model.precision,
            self._machine.allow_pickle,
            asked,
            model.family,
            self._machine.offload_text_encoders,
            model.clip_length,
            model.t5_length,
            model.weights,
            self._machine.sequential_offload,
        )
        combinations = [self._recipe.combination(*pair) for pair in self._recipe.pairs]
        of_model = [combination for combination in combinations if model_spec(combination) == model]
        require_compatible(of_model, diffusion_model.family)
        for common in (combination.common for combination in of_model):
            working_resolution(diffusion_model, common.resolution)
        self._load_image_encoders(diffusion_model, of_model)
        self._quantizer = quantizer(model.weights)
        fingerprint = model_fingerprint(model.name, model.revision)
        diffusion_model.cache = Cache(self._identity(model, fingerprint), self._machine.cache)
        if self._machine.checkpointing:
            diffusion_model.denoiser.enable_gradient_checkpointing()
        if self._machine.compile:
            compile_blocks(diffusion_model.denoiser)
        self._measure_weights()
        self._limit_features([combination.name for combination in of_model])
        self._model = diffusion_model
        return fingerprint

    def _load_image_encoders(self, model: DiffusionModel, combinations: Sequence[Combination]) -> None:
        """Load what inversions read pictures by, before the first edit, and note its fingerprints.

        Raises:
            PiebenchError: it cannot be loaded, or does not go with the model.
        """
        from piebench_eval.models.image_encoder import load_image_encoder
        from piebench_eval.models.image_encoder_files import image_encoder_fingerprint

        names = image_encoders(combinations)
        width = model.denoiser.config.cross_attention_dim if names else 0
        for name in names:
            encoder = load_image_encoder(name, self.device, self._machine.allow_pickle)
            encoder.require_width(width)
            model.image_encoders[name] = encoder
        self._image_encoders = {name: image_encoder_fingerprint(name) for name in names}

    def _load_editor(self, model: ModelSpec) -> LoadedEditor:
        """Have an editor of pictures load what it needs.

        Raises:
            PiebenchError: it cannot be loaded.
        """
        from piebench_eval.editors.base import LoadedEditor, LoadOptions
        from piebench_eval.models.nfe import EvaluationCounter

        editor, combination = EDITORS.get(model.editor), self._recipe.combination("", model.editor)
        self._deterministic, self._quantizer, self._image_encoders = False, {}, {}
        options = LoadOptions(
            self.device,
            self._machine.allow_pickle,
            bool(self._machine.offload_text_encoders),
            self._machine.sequential_offload,
        )
        content = None
        if editor.load is not None:
            with plugin_errors("", model.editor):
                content = editor.load(combination.editor_settings, combination.common, options)
        return LoadedEditor(content, self.device, EvaluationCounter())

    def _measure_weights(self) -> None:
        """Take down what the weights take of a GPU, now that they are in their place."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            self._weights_bytes = torch.cuda.memory_allocated(self.device)

    def _limit_features(self, combinations: Sequence[str]) -> None:
        """Decide how much of an inversion's features lies where, now that the weights are in their place.

        Raises:
            PiebenchError: those of one picture do not fit.
        """
        workers, asked = self._spec.workers, self._machine.feature_memory
        self._feature_limits = worker_limits(asked, self.device, workers, self._spec.on_device)
        room = room_within(self._feature_limits, workers)
        of_model = [need for need in self._spec.features if need.combination in combinations]
        require_room([replace(need, room=room) for need in of_model], self._machine)

    def _identity(self, model: ModelSpec, fingerprint: str | None) -> dict[str, Any]:
        """What changes the last digits of cached results besides their own inputs.

        Checkpointing computes the same numbers again. The number of threads counts on a CPU, except with
        deterministic layers.
        """
        import torch

        from piebench_eval.runs.store.manifest import library_versions, processor_name

        threads_matter = self.device.type == "cpu" and not self._deterministic
        return {
            # A model without a fingerprint is identified by its name.
            "model": fingerprint or [model.name, model.revision],
            "precision": model.precision,
            "family": model.family,
            "device": [self.device.type, processor_name(self.device)],
            "threads": torch.get_num_threads() if threads_matter else None,
            "compiled": self._machine.compile,
            "deterministic": self._deterministic,
            "code": code_of(self._recipe.inversions, self._recipe.methods, self._recipe.editors),
            "versions": library_versions(),
            **({} if model.weights == FULL else {"weights": [model.weights, self._quantizer]}),
        }

    def edit(
        self, combination: Combination, samples: Sequence[Sample], observer: EditObserver | None = None
    ) -> list[EditResult]:
        """Edit a batch with the loaded model; see ``edit_batch`` for the observer."""
        from piebench_eval.runs.batch_editing import edit_batch

        assert self._model is not None, "a worker loads before it edits"
        read, limits = self._prefetcher.read, self._feature_limits
        return edit_batch(self._model, samples, combination, read, limits, observer=observer)

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Read the images of coming batches while this one is edited."""
        self._prefetcher.submit(sample.file for sample in samples)

    def clear_cache(self) -> None:
        """Drop what the combinations of a batch share."""
        cache = getattr(self._model, "cache", None)
        if cache is not None:
            cache.forget()
