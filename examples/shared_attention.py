"""Shared attention: a method of one's own, for `piebench run --plugin examples/shared_attention.py`."""

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.methods.base import Method, PreparedController
from piebench_eval.models.attention import plain_attention
from piebench_eval.settings import Settings


class SharedSettings(Settings):
    start_step: int = Field(default=2, ge=0, description="first step that looks at the source")


class SharedController(AttentionController):
    def __init__(self, num_samples, start_step):
        super().__init__(num_samples)
        self.start_step = start_step

    def source_reads(self, step):
        return [SourceReads(cond=step >= self.start_step)] * self.num_samples

    def attend(self, layer, query, key, value):  # each [rows, heads, positions, width]
        import torch  # here: recipes are checked without it

        attended = plain_attention(query, key, value)
        if layer.kind == "self" and self.step >= self.start_step:
            source, target = (
                self.rows.positions(r, range(self.num_samples)) for r in (Row.SOURCE_COND, Row.TARGET_COND)
            )
            keys, values = (torch.cat([own[target], own[source]], dim=2) for own in (key, value))
            attended[target] = plain_attention(query[target], keys, values)
        return attended


def prepare(samples, model, steps, settings):
    return PreparedController(SharedController(len(samples), settings.start_step), [[] for _ in samples])


METHODS = {"shared": Method("Shared attention", "yours", "", SharedSettings, prepare)}
