"""Where the rows of a call part and end.

Both halves of a branch part where a text is first read. A row whose output nobody needs ends behind the last
layer that a method reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.rows import Branch, EndedRows
from piebench_eval.diffusion.solvers import DETERMINISTIC, Solver
from piebench_eval.models.attention import attention_layers
from piebench_eval.models.unet_pass import RowFork, fork_place
from piebench_eval.tensors import device_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from piebench_eval.diffusion.controller import AttentionController
    from piebench_eval.diffusion.rows import RowBatch


class RowEnds:
    """Finds the ends of a controller's calls of a model.

    Args:
        denoiser: the model's.
        places: see ``DiffusionModel.row_places``; nothing ends where there is none.
        controller: from an editing method.
        latent_shape: height and width of the latents.
        solver: how the edit steps; under a coupled one no rows part, so that they round as the inversion's.
    """

    def __init__(
        self,
        denoiser: Any,
        places: Sequence[str],
        controller: AttentionController,
        latent_shape: tuple[int, int],
        solver: Solver = DETERMINISTIC,
    ):
        self._controller, self._places = controller, places
        of_processors = attention_layers(denoiser, latent_shape) if places else {}
        self._layers = {name.removesuffix(".processor"): layer for name, layer in of_processors.items()}
        self._fork_place = fork_place(denoiser) if places and not solver.coupled else None
        self._known: dict[Any, EndedRows | None] = {}

    def of_call(self, step: int, rows: RowBatch, moving: Mapping[Branch, Sequence[int]]) -> EndedRows | None:
        """The rows of a call that end early; None if there are none.

        Args:
            step: index of the step.
            rows: the rows of the call.
            moving: by branch, the samples that step along the call's output.
        """
        needs_all = self._controller.modifies_guidance or self._controller.source_first
        if needs_all or (place := self.last_read(step)) is None:
            return None
        kinds = tuple((row, *samples) for row, samples in rows.samples_by_row.items())
        shared = rows.source_uncond_is_cond, tuple(rows.lenders.items())
        key = place, kinds, shared, tuple(moving[Branch.SOURCE])
        if key not in self._known:
            self._known[key] = self._ended(place, rows, moving[Branch.SOURCE])
        return self._known[key]

    def fork(self, step: int, rows: RowBatch) -> RowFork | None:
        """Where rows of the same latents part in a call; None if the method takes part before, or none do.

        Args:
            step: index of the step.
            rows: the rows of the call.
        """
        controller, place = self._controller, self._fork_place
        if place is None or controller.source_first or rows.beginnings is None:
            return None
        if controller.attends and controller.reads_layer(step, self._layers[place]):
            return None
        before = self._places[: self._places.index(place) + 1]
        if any(self._place_of(name) in (None, *before) for name in controller.hooked_modules):
            return None
        return RowFork(place, *rows.beginnings)

    def last_read(self, step: int) -> str | None:
        """The last layer of the source that the method reads in a step.

        None if it reads none, or a module that is no such layer and not within one, and where the layer is
        within a module that is hooked: that would be gone through part by part, and its hook not be called.
        """
        modules = [
            name for name in self._controller.hooked_modules if self._controller.reads_module(step, name)
        ]
        within = {name: self._place_of(name) for name in modules}
        if None in within.values():
            return None
        for place in reversed(self._places):
            layer = self._layers.get(place)
            if place in within.values() or (layer and self._controller.reads_layer(step, layer)):
                return None if self._is_hooked_around(place) else place
        return None

    def _is_hooked_around(self, place: str) -> bool:
        around = [name for name in self._controller.hooked_modules if name != place]
        return any(not name or place.startswith(f"{name}.") for name in around)

    def _place_of(self, module: str) -> str | None:
        return next((place for place in self._places if f"{module}.".startswith(f"{place}.")), None)

    def _ended(self, place: str, rows: RowBatch, moving: Sequence[int]) -> EndedRows | None:
        left = rows.without(Branch.SOURCE, moving)
        if left.samples_by_row == rows.samples_by_row:
            return None
        kinds = left.samples_by_row.items()
        positions = [position for row, samples in kinds for position in rows.positions(row, samples)]
        return EndedRows(place, self._layers.get(place), left, _selection(positions, rows.device))


def _selection(positions: Sequence[int], device: torch.device | None) -> slice | torch.Tensor:
    """Positions as a range if they follow each other: what is selected by it need not be copied."""
    first, count = positions[0], len(positions)
    if list(positions) == list(range(first, first + count)):
        return slice(first, first + count)
    return device_index(positions, device)
