"""Pix2Pix-Zero: the prompts' difference is added to the picture's embedding, and attention is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.methods.base import Method, PreparedController, Prompts, notes_on_prompts
from piebench_eval.models.attention import attention_maps, plain_attention
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel

_TARGET_ROWS = (Row.TARGET_UNCOND, Row.TARGET_COND)


class Pix2PixZeroSettings(Settings):
    """Settings of Pix2Pix-Zero; the defaults are its paper's code's."""

    attention_guidance: float = Field(
        default=0.1,
        ge=0,
        description="step along the gradient that takes the target's cross-attention maps to the source's",
    )
    caption: str | None = Field(
        default=None,
        description="what describes the picture: it inverts, and the target is guided away from it; the "
        "source prompt if empty (the published code has BLIP describe each picture)",
    )


def prompts(sample: Sample, settings: Pix2PixZeroSettings) -> Prompts:
    """The caption in all places; the target's embedding is moved by the prompts' difference."""
    caption = settings.caption or sample.source_prompt
    direction = sample.source_prompt, sample.target_prompt
    return Prompts(caption, caption, caption, caption, direction)


def caution(guidance: float, source_guidance: float) -> str | None:
    """A source branch that is guided, whose maps are then not those of the picture's caption alone."""
    if source_guidance == 1:
        return None
    return (
        f"pix2pix_zero has the guidance scale {source_guidance:g} for the source; its authors' code guides "
        "it by its own caption, which is no guidance: --set source_guidance=1, or --config pix2pix-zero"
    )


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: Pix2PixZeroSettings
) -> PreparedController:
    """Set up the controller of a batch."""
    texts = [Prompts("", sample.source_prompt, sample.target_prompt) for sample in samples]
    notes = notes_on_prompts(texts, model)
    return PreparedController(Pix2PixZeroController(len(samples), settings.attention_guidance), notes)


class Pix2PixZeroController(AttentionController):
    """Pix2Pix-Zero in the edit loop (section 3.2, equation 5).

    Args:
        num_samples: number of samples in the batch.
        rate: the step along the gradient.
    """

    leaves_source = True
    source_first = True

    def __init__(self, num_samples: int, rate: float):
        super().__init__(num_samples)
        self._rate = rate
        self._reference: dict[int, torch.Tensor] = {}
        self._losses: list[torch.Tensor] | None = None

    def source_reads(self, step: int) -> list[SourceReads]:
        """The conditional half's maps, in every step."""
        return [SourceReads(cond=True)] * self.num_samples

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Plain attention; the source's maps are kept, and the target's compared with them."""
        if layer.kind == "cross":
            if Row.SOURCE_COND in self.rows.samples_by_row:
                source = self.rows.index(Row.SOURCE_COND, range(self.num_samples))
                self._reference[layer.index] = attention_maps(query[source], key[source])
            elif self._losses is not None:
                self._losses.append(self._distance(layer, query, key))
        return plain_attention(query, key, value)

    def move_target(
        self,
        latents: Mapping[Row, torch.Tensor],
        evaluate: Callable[[Mapping[Row, torch.Tensor]], torch.Tensor],
    ) -> Mapping[Row, torch.Tensor]:
        """Take each row's latents a step along the gradient of its maps' distance."""
        import torch

        self._losses = []
        with torch.enable_grad():
            of_rows = torch.stack(list(latents.values())).requires_grad_()
            evaluate(dict(zip(latents, of_rows, strict=True)))
            (gradients,) = torch.autograd.grad(torch.stack(self._losses).sum(), of_rows)
        self._losses = None
        return dict(zip(latents, of_rows.detach() - self._rate * gradients, strict=True))

    def _distance(self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Sum over samples of a layer's squared distance, a mean over rows and heads."""
        everyone = range(self.num_samples)
        rows = [row for row in _TARGET_ROWS if row in self.rows.samples_by_row]
        distance = query.new_zeros((), dtype=self._reference[layer.index].dtype)
        for row in rows:
            index = self.rows.index(row, everyone)
            maps = attention_maps(query[index], key[index])
            distance = distance + (maps - self._reference[layer.index]).square().sum()
        return distance / (len(rows) * query.shape[1])


PIX2PIX_ZERO = Method(
    title="Pix2Pix-Zero",
    paper="Parmar et al., Zero-shot Image-to-Image Translation, SIGGRAPH 2023",
    equation="sections 3.1 and 3.2, equation 5",
    settings=Pix2PixZeroSettings,
    prepare=prepare,
    prompts=prompts,
    policies=("classifier_free",),
    predicts=("epsilon",),
    moves_latents=True,
    caution=caution,
)
