"""How many whole evaluations rows save that begin as one or end early, by the denoiser's operations.

They are counted on a denoiser of the model's configuration, without weights: nothing is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from piebench_eval.diffusion.controller import AttentionController, controlled
from piebench_eval.diffusion.row_ends import RowEnds
from piebench_eval.diffusion.rows import Branch, RowBatch
from piebench_eval.models.attention import plain_attention
from piebench_eval.models.location import denoiser_config, image_sizes
from piebench_eval.models.unet_pass import row_places
from piebench_eval.runs.jobs import model_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch.utils.flop_counter import FlopCounterMode

    from piebench_eval.diffusion.rows import StepRows
    from piebench_eval.diffusion.solvers import Solver
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.runs.jobs import ModelSpec

_TOKENS = 77
_META = torch.device("meta")


class RowOperations:
    """The operations of rows of one UNet, for latents of one size.

    Attributes:
        ended: by layer, the share of a whole row's operations that a row has done which ends behind it.
        passed: by layer, that which any other row has done behind it: its attention too.
    """

    def __init__(self, config: Mapping[str, Any], side: int):
        """Count them.

        Args:
            config: the UNet's ``config.json``.
            side: of the latents.
        """
        from diffusers import UNet2DConditionModel

        with _META:
            self._unet = UNet2DConditionModel.from_config(config).eval()
        self._latent_shape = side, side
        self._places = row_places(self._unet)
        self.ended, self.passed = self._count()

    def unread(
        self, controller: AttentionController, solver: Solver, calls: Iterable[tuple[int, StepRows]]
    ) -> float:
        """Whole evaluations that calls of the model for one sample save where rows begin as one or end early.

        Args:
            controller: from an editing method, of this sample alone.
            solver: how the edit steps.
            calls: of each the index of its step, and its rows.
        """
        ends, saved = RowEnds(self._unet, self._places, controller, self._latent_shape, solver), 0.0
        for step, planned in calls:
            rows = RowBatch.of_step([planned])
            ended = ends.of_call(step, rows, {Branch.SOURCE: [0] if planned.moves_source else []})
            if ended is not None:
                saved += (len(rows.owners) - len(ended.left.owners)) * (1 - self.ended[ended.place])
            if (fork := ends.fork(step, rows)) is not None:
                saved += (len(rows.owners) - len(fork.first)) * self.passed[fork.place]
        return saved

    @torch.no_grad()
    def _count(self) -> tuple[dict[str, float], dict[str, float]]:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            counting = _Counting(counter, self._places)
            with controlled(self._unet, counting, self._latent_shape):
                self._unet(**self._inputs(), return_dict=False)
        whole = counter.get_total_flops()
        ended, passed = (
            {place: done / whole for place, done in of_kind.items()}
            for of_kind in (counting.where_ended, counting.where_passed)
        )
        return ended, passed

    def _inputs(self) -> dict[str, Any]:
        """What the UNet is called with for one row."""
        config = self._unet.config
        inputs: dict[str, Any] = {
            "sample": torch.empty(1, config.in_channels, *self._latent_shape, device=_META),
            "timestep": torch.empty((), dtype=torch.int64, device=_META),
            "encoder_hidden_states": torch.empty(1, _TOKENS, config.cross_attention_dim, device=_META),
        }
        if config.addition_embed_type == "text_time":
            pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            inputs["added_cond_kwargs"] = {
                "text_embeds": torch.empty(1, pooled, device=_META),
                "time_ids": torch.empty(1, 6, device=_META),
            }
        return inputs


class _Counting(AttentionController):
    """Notes how many operations are done behind each layer.

    Of a row that ends there the layer's attention is left out, but not its projections.
    """

    def __init__(self, counter: FlopCounterMode, places: list[str]):
        super().__init__(num_samples=1)
        self.hooked_modules, self._counter, self._of_attention = places, counter, 0
        self.where_ended: dict[str, int] = {}
        self.where_passed: dict[str, int] = {}

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Plain attention, counted apart."""
        before = self._counter.get_total_flops()
        attended = plain_attention(query, key, value)
        self._of_attention = self._counter.get_total_flops() - before
        return attended

    def module_output(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """The output of a layer as it is."""
        self.where_passed[name] = self._counter.get_total_flops()
        self.where_ended[name] = self.where_passed[name] - self._of_attention
        self._of_attention = 0
        return output


def operations_of(
    combination: Combination, known: dict[tuple[ModelSpec, int | None], RowOperations]
) -> RowOperations | None:
    """The operations of a combination's model; None where its configuration is not on this machine.

    Args:
        combination: one whose model has a UNet.
        known: what was counted before, by model and resolution; added to.
    """
    spec, resolution = model_spec(combination), combination.common.resolution
    if (spec, resolution) not in known:
        config = denoiser_config(spec.name, spec.revision, spec.family)
        sizes = image_sizes(spec.name, spec.revision, spec.family)
        if config is None or sizes is None:
            return None
        side = config["sample_size"] * (resolution or sizes.native) // sizes.native
        known[spec, resolution] = RowOperations(config, side)
    return known[spec, resolution]
