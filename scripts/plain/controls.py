"""What the three methods change in a call of rows [source, target] x [unconditional, conditional]."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from piebench_eval.methods.masactrl import MasaCtrlSettings
from piebench_eval.methods.p2p_settings import BLEND_DOWNSAMPLING, P2PSettings
from piebench_eval.methods.pnp import PnPSettings
from piebench_eval.methods.word_plan import WordPlan


@dataclass(frozen=True)
class Layers:
    """Where methods act in a UNet, if their settings do not say; by default as in Stable Diffusion 1.x.

    ``mutual``: the first self-attention that looks at the source in MasaCtrl, counted over the whole UNet;
    ``features``: the residual block's layer whose output Plug-and-Play takes, and ``queries`` the first
    self-attention whose queries and keys it takes.
    """

    mutual: int = 10
    features: str = "up_blocks.1.resnets.1.conv2"
    queries: int = 8


class Control:
    """Nothing is changed. ``step`` counts sampling steps; who samples sets it."""

    step = 0

    def states(self, q, k, v, layer):
        """Queries, keys and values of a self-attention layer, ``[rows, heads, positions, width]``."""
        return q, k, v

    def maps(self, maps, cross, layer):
        """Attention maps of any layer, ``[rows, heads, positions, tokens]``."""
        return maps

    def features(self, output, name):
        """Output of any residual block before its shortcut is added, ``[rows, channels, h, w]``."""
        return output

    def after(self, latents):
        """Latents of [source, target] after a step."""
        return latents


class P2P(Control):
    """Prompt-to-Prompt on rows [su, tu, sc, tc]; small maps are added up, whether they are read or not."""

    def __init__(self, plan: WordPlan, settings: P2PSettings, steps: int, side: int, device: torch.device):
        self.settings, self.side = settings, side
        self.matrix, self.taken, self.equalizer, self.blend = (
            None if words is None else torch.as_tensor(words, device=device)
            for words in (plan.matrix, plan.use_source_map, plan.equalizer, plan.blend)
        )
        self.cross_end = int(settings.cross_replace_steps * (steps + 1))
        self.self_end = int(settings.self_replace_steps * steps)
        self.blend_start = int(settings.blend_start * steps)
        self.stored: dict[tuple[bool, int], torch.Tensor] = {}

    def maps(self, maps, cross, layer):
        positions = maps.shape[2]
        if cross and self.step < self.cross_end:
            own = maps[3] * (1 - self.taken)
            maps[3] = (maps[2] @ self.matrix * self.taken + own) * self.equalizer
        largest = (self.side // self.settings.self_replace_downsampling) ** 2
        if not cross and self.step < self.self_end and positions <= largest:
            maps[3] = maps[2]
        if positions <= (self.side // 2) ** 2:
            before = self.stored.get((cross, layer), 0)
            self.stored[cross, layer] = before + maps[2:]
        return maps

    def after(self, latents):
        if self.blend is None or self.step < self.blend_start:
            return latents
        side = self.side // (self.settings.blend_downsampling or BLEND_DOWNSAMPLING)
        stored = [maps for (cross, _), maps in self.stored.items() if cross and maps.shape[2] == side**2]
        maps = (torch.stack(stored) * self.blend[None, :, None, None]).sum(-1).mean(dim=(0, 2))
        maps = functional.max_pool2d(maps.reshape(2, 1, side, side), 3, 1, 1)
        maps = functional.interpolate(maps, size=latents.shape[2:])
        inside = maps / maps.amax(dim=(2, 3), keepdim=True) > self.settings.blend_threshold
        inside = (inside[0] | inside[1]).float()
        return latents[:1] + inside * (latents - latents[:1])


class MasaCtrl(Control):
    """Mutual self-attention on rows [su, tu, sc, tc]: targets look at the source's keys and values."""

    def __init__(self, settings: MasaCtrlSettings, layers: Layers):
        self.start_step = settings.start_step
        self.start_layer = layers.mutual if settings.start_layer is None else settings.start_layer

    def states(self, q, k, v, layer):
        if self.step < self.start_step or layer < self.start_layer:
            return q, k, v
        return q, k[[0, 0, 2, 2]], v[[0, 0, 2, 2]]


class PlugAndPlay(Control):
    """Feature and attention injection on rows [source, tu, tc]."""

    def __init__(self, settings: PnPSettings, layers: Layers, steps: int):
        self.layers = layers
        self.features_end = int(settings.feature_steps * steps)
        self.attention_end = int(settings.attention_steps * steps)

    def states(self, q, k, v, layer):
        if self.step >= self.attention_end or layer < self.layers.queries:
            return q, k, v
        return q[[0, 0, 0]], k[[0, 0, 0]], v

    def features(self, output, name):
        taken = name == self.layers.features and self.step < self.features_end
        return output[[0, 0, 0]] if taken else output
