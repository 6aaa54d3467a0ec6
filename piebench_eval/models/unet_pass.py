"""A UNet's forward pass in which some rows of a batch begin as one, and some end before the output.

Modules are called whole, but for those around the place where rows part or end: these are gone through part
by part, with diffusers' own operations in their order, so that all rows are what they are in a plain call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class RowEnd:
    """Where some rows of a call end.

    Attributes:
        place: name of the layer behind which they end, one of ``row_places``.
        going_on: positions of the rows that go on, a range or an index tensor.
        reached: called as soon as the others have ended.
    """

    place: str
    going_on: slice | torch.Tensor
    reached: Callable[[], None]


@dataclass(frozen=True)
class RowFork:
    """Where rows part that begin with the same latents: up to there one of them is computed for all.

    Attributes:
        place: name of the layer behind which they part, see ``fork_place``.
        first: positions of the rows that are computed from the beginning.
        of_rows: for each row the number of the one among these that it begins as.
        kept: keeps what the first call computes up to there, for further calls at the same latents and time:
            ``first`` counts in the first alone. Nothing is kept if None.
    """

    place: str
    first: torch.Tensor
    of_rows: torch.Tensor
    kept: KeptBeginning | None = None


class KeptBeginning:
    """What rows are where they part, from the first of several calls at the same latents and time.

    Attributes:
        states: the block's and the transformer's hidden states, the embedded time, and what goes to the
            decoder; None before the first call.
    """

    states: tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]] | None = None


def row_places(unet: Any) -> list[str]:
    """The layers behind which rows can end, in the order in which they run.

    Args:
        unet: ``UNet2DConditionModel``.

    Returns:
        Names of residual blocks and of attention layers. None where the UNet has parts that those of Stable
        Diffusion have not: its rows are computed whole.
    """
    if not _has_known_parts(unet):
        return []
    return [place for name, block in _blocks(unet) for place in _places_of_block(name, block)]


def fork_place(unet: Any) -> str | None:
    """The last layer before a text is read, up to which rows of the same latents are the same.

    None if rows differ from the beginning, where a text or a guidance scale is added to the time (SDXL), if
    the first block has no attention, or if there are no ``row_places``.
    """
    config = unet.config
    if config.addition_embed_type is not None or config.time_cond_proj_dim is not None:
        return None
    first = next((place for place in row_places(unet) if place.endswith(".attn1")), None)
    return first if first is not None and first.startswith("down_blocks.0.") else None


def _blocks(unet: Any) -> Iterator[tuple[str, Any]]:
    yield from ((f"down_blocks.{index}", block) for index, block in enumerate(unet.down_blocks))
    if unet.mid_block is not None:
        yield "mid_block", unet.mid_block
    yield from ((f"up_blocks.{index}", block) for index, block in enumerate(unet.up_blocks))


def _places_of_block(name: str, block: Any) -> Iterator[str]:
    attentions = getattr(block, "attentions", ())
    for number in range(len(block.resnets)):
        yield f"{name}.resnets.{number}"
        for layer in range(len(attentions[number].transformer_blocks) if number < len(attentions) else 0):
            beginning = f"{name}.attentions.{number}.transformer_blocks.{layer}"
            yield from (f"{beginning}.attn1", f"{beginning}.attn2")


def _has_known_parts(unet: Any) -> bool:
    """Whether a UNet is made of what ``UNetPass`` goes through."""
    from diffusers.models.attention import BasicTransformerBlock
    from diffusers.models.transformers.transformer_2d import Transformer2DModel
    from diffusers.models.unets import unet_2d_blocks as blocks

    known = {
        blocks.CrossAttnDownBlock2D,
        blocks.DownBlock2D,
        blocks.UNetMidBlock2DCrossAttn,
        blocks.CrossAttnUpBlock2D,
        blocks.UpBlock2D,
    }
    config = unet.config
    plain = config.addition_embed_type in (None, "text_time") and not config.center_input_sample
    plain = plain and config.class_embed_type is None and config.num_class_embeds is None
    of_blocks = [block for _, block in _blocks(unet)]
    attentions = [each for block in of_blocks for each in getattr(block, "attentions", ())]
    layers = [layer for attention in attentions for layer in getattr(attention, "transformer_blocks", ())]
    return (
        plain
        and all(type(block) in known for block in of_blocks)
        and all(type(each) is Transformer2DModel and each.is_input_continuous for each in attentions)
        and all(type(layer) is BasicTransformerBlock and _is_plain(layer) for layer in layers)
    )


def _is_plain(layer: Any) -> bool:
    """Whether a transformer block is self-attention, cross-attention and feed-forward, and nothing else."""
    return (
        layer.norm_type == "layer_norm"
        and layer.pos_embed is None
        and layer.attn2 is not None
        and not layer.only_cross_attention
    )


class UNetPass:
    """A UNet that is called as diffusers', and in whose passes rows part or end.

    Args:
        unet: ``UNet2DConditionModel`` that has ``row_places``.
        end: where rows end; all go to the output if None.
        fork: where rows part; each has a beginning of its own if None.
    """

    def __init__(self, unet: Any, end: RowEnd | None, fork: RowFork | None = None):
        self._unet, self._end, self._fork = unet, end, fork

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        timestep_cond: torch.Tensor | None = None,
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """Call the UNet with rows ``[rows, 4, h, w]``.

        Returns:
            The output of those that go on, the only entry of a tuple.
        """
        unet, fork = self._unet, self._fork
        text = unet.process_encoder_hidden_states(
            encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs
        )
        if fork is not None and fork.kept is not None and fork.kept.states is not None:
            hidden, _, time, _ = fork.kept.states
        else:
            if fork is not None:  # none of a UNet in which the rows' times differ
                sample = sample[fork.first]
            time = self._embedded(sample, timestep, encoder_hidden_states, timestep_cond, added_cond_kwargs)
            hidden = unet.conv_in(sample)
        uneven = any(side % 2**unet.num_upsamplers for side in sample.shape[-2:])
        way = _Way(self._end, fork, hidden, time, text, uneven)
        for name, block in _blocks(unet):
            way.through_block(name, block)
        output = way.hidden if unet.conv_norm_out is None else unet.conv_act(unet.conv_norm_out(way.hidden))
        return (unet.conv_out(output),)

    def _embedded(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        timestep_cond: torch.Tensor | None,
        added_cond_kwargs: dict[str, torch.Tensor] | None,
    ) -> torch.Tensor:
        """The time and what is added to it."""
        unet = self._unet
        time = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=timestep), timestep_cond)
        added = unet.get_aug_embed(emb=time, encoder_hidden_states=text, added_cond_kwargs=added_cond_kwargs)
        time = time if added is None else time + added
        return time if unet.time_embed_act is None else unet.time_embed_act(time)


class _Way:
    """The rows on their way through a UNet's blocks.

    Where a beginning is kept from an earlier call, layers up to there are passed by.

    Attributes:
        hidden: what the last layer gave ``[rows, channels, height, width]``.
    """

    def __init__(
        self,
        end: RowEnd | None,
        fork: RowFork | None,
        hidden: torch.Tensor,
        time: torch.Tensor,
        text: torch.Tensor,
        uneven: bool,
    ):
        self.hidden = hidden
        self._end, self._fork, self._time, self._text, self._uneven = end, fork, time, text, uneven
        self._places = [change.place for change in (fork, end) if change is not None]
        self._skipping, self._sequence = [hidden], hidden  # to the decoder; within a transformer
        self._begun = fork is not None and fork.kept is not None and fork.kept.states is not None

    def through_block(self, name: str, block: Any) -> None:
        """Go through a block of the encoder, the middle or the decoder."""
        kind = name.partition("_")[0]
        if kind == "up":
            self._up(name, block)
        elif kind == "down":
            self._down(name, block)
        elif not self._changes_in(name):
            self.hidden = block(**self._inputs(block))
        else:
            for number in range(len(block.resnets)):
                self._residual_and_attention(name, block, number)

    def _down(self, name: str, block: Any) -> None:
        if not self._changes_in(name):
            self.hidden, skipping = block(**self._inputs(block))
            self._skipping += skipping
            return
        for number in range(len(block.resnets)):
            self._residual_and_attention(name, block, number)
            self._skipping.append(self.hidden)
        for downsampler in block.downsamplers or ():
            self.hidden = downsampler(self.hidden)
            self._skipping.append(self.hidden)

    def _up(self, name: str, block: Any) -> None:
        count = len(block.resnets)
        skipping, self._skipping = self._skipping[-count:], self._skipping[:-count]
        size = self._skipping[-1].shape[2:] if self._uneven and self._skipping else None
        if not self._changes_in(name):
            inputs = self._inputs(block)
            self.hidden = block(**inputs, res_hidden_states_tuple=tuple(skipping), upsample_size=size)
            return
        self._skipping += skipping
        for number in range(len(block.resnets)):
            self.hidden = torch.cat([self.hidden, self._skipping.pop()], dim=1)
            self._residual_and_attention(name, block, number)
        for upsampler in block.upsamplers or ():
            self.hidden = upsampler(self.hidden, size)

    def _residual_and_attention(self, name: str, block: Any, number: int) -> None:
        if not self._begun:
            self.hidden = block.resnets[number](self.hidden, self._time)
        self._behind(f"{name}.resnets.{number}")
        attentions = getattr(block, "attentions", ())
        if number < len(attentions):  # the middle block has one less
            self._attention(f"{name}.attentions.{number}", attentions[number])

    def _attention(self, name: str, attention: Any) -> None:
        if not self._changes_in(name):
            self.hidden = attention(self.hidden, encoder_hidden_states=self._text, return_dict=False)[0]
            return
        (height, width), linear = self.hidden.shape[-2:], attention.use_linear_projection
        if not self._begun:
            normed = attention.norm(self.hidden)
            states = (normed if linear else attention.proj_in(normed)).permute(0, 2, 3, 1).flatten(1, 2)
            self._sequence = attention.proj_in(states) if linear else states
        for number, layer in enumerate(attention.transformer_blocks):
            self._transformer(f"{name}.transformer_blocks.{number}", layer)
        if linear:
            self._sequence = attention.proj_out(self._sequence)
        states = self._sequence.unflatten(1, (height, width)).permute(0, 3, 1, 2).contiguous()
        self.hidden = (states if linear else attention.proj_out(states)) + self.hidden
        self._sequence = self.hidden  # what was the sequence is not kept any longer

    def _transformer(self, name: str, layer: Any) -> None:
        if not self._changes_in(name):
            self._sequence = layer(self._sequence, encoder_hidden_states=self._text)
            return
        if not self._begun:
            self._sequence = layer.attn1(layer.norm1(self._sequence)) + self._sequence
        self._behind(f"{name}.attn1")
        attended = layer.attn2(layer.norm2(self._sequence), encoder_hidden_states=self._text)
        self._sequence = attended + self._sequence
        self._behind(f"{name}.attn2")
        self._sequence = layer.ff(layer.norm3(self._sequence)) + self._sequence

    def _inputs(self, block: Any) -> dict[str, torch.Tensor]:
        inputs = {"hidden_states": self.hidden, "temb": self._time}
        if getattr(block, "has_cross_attention", False):
            inputs["encoder_hidden_states"] = self._text
        return inputs

    def _changes_in(self, name: str) -> bool:
        """Whether rows part or end within a module."""
        return any(f"{place}.".startswith(f"{name}.") for place in self._places)

    def _behind(self, place: str) -> None:
        """Let rows part or end, if this is the place."""
        if self._fork is not None and place == self._fork.place:
            self._part(self._fork)
        if self._end is not None and place == self._end.place:
            self._go_on_with(self._end.going_on)
            self._time, self._text = self._time[self._end.going_on], self._text[self._end.going_on]
            self._end.reached()

    def _part(self, fork: RowFork) -> None:
        if fork.kept is not None:
            if fork.kept.states is None:
                fork.kept.states = self.hidden, self._sequence, self._time, self._skipping
            self.hidden, self._sequence, self._time, self._skipping = fork.kept.states
            self._begun = False
        self._go_on_with(fork.of_rows)
        self._time = self._time[fork.of_rows]

    def _go_on_with(self, rows: slice | torch.Tensor) -> None:
        self.hidden, self._sequence = self.hidden[rows], self._sequence[rows]
        self._skipping = [states[rows] for states in self._skipping]
