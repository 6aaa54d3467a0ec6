"""Hooks into a denoiser's attention, around diffusers' own attention processors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from piebench_eval.errors import PiebenchError
from piebench_eval.models.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch


@dataclass(frozen=True)
class AttentionLayer:
    """One attention layer of a denoiser's transformer blocks.

    Attributes:
        kind: ``self``: positions of the image attend to each other; ``cross``: to the text's tokens;
            ``joint``: image and text are one sequence.
        index: position among the layers of its kind, in the order in which they run.
        downsampling: side of the latent divided by the side of the layer's grid.
        grid: rows and columns of the image's positions, which follow each other row by row.
        text: where the text's tokens are in a joint sequence, before the image's positions or behind them;
            before them, its end can be counted from the sequence's. None elsewhere.
        single: number among the single-stream blocks, in which text and image share all weights (FLUX); None
            in other blocks.
    """

    kind: Literal["self", "cross", "joint"]
    index: int
    downsampling: int
    grid: tuple[int, int]
    text: slice | None = None
    single: int | None = None

    @property
    def image(self) -> slice:
        """Where the image's positions are in the sequence of a self- or joint attention."""
        begin = self.text.stop if self.text is not None and self.text.start == 0 else 0
        return slice(begin, None if begin < 0 else begin + self.grid[0] * self.grid[1])


class AttentionHook(Protocol):
    """What computes attention in place of the plain formula."""

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Return attention's output, ``[rows, heads, positions, width]``, as ``query``."""
        ...


def attention_maps(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Softmax of scaled dot products, in float32.

    Args:
        query: ``[rows, heads, positions, width]``.
        key: ``[rows, heads, tokens, width]``.

    Returns:
        Maps ``[rows, heads, positions, tokens]`` that sum to 1 over the tokens.
    """
    logits = query.float() @ key.float().transpose(-1, -2)
    return (logits * query.shape[-1] ** -0.5).softmax(dim=-1)


def image_to_text_maps(layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """The part of a joint attention's maps in which the image looks at the text, in float32.

    A row of these maps sums to the text's share of a position's attention. No map over the whole sequence is
    written: the share is the fused kernel's output for values that are 1 at the text and 0 at the image.

    Args:
        layer: the joint layer.
        query: ``[rows, heads, positions, width]``, of the whole sequence.
        key: likewise.

    Returns:
        Maps ``[rows, heads, positions of the image, tokens of the text]``.
    """
    query, key = query[:, :, layer.image].float(), key.float()
    is_text = key.new_zeros(key.shape)
    is_text[:, :, layer.text] = 1
    share = plain_attention(query, key, is_text)[..., :1]
    return attention_maps(query, key[:, :, layer.text]) * share


@contextmanager
def controlled_attention(
    denoiser: Any, hook: AttentionHook, layers: dict[str, AttentionLayer]
) -> Iterator[None]:
    """Route attention layers through a hook; put the old processors back at the end.

    Args:
        denoiser: a diffusers model with ``attn_processors``.
        hook: computes their attention.
        layers: the layers by the names of their processors; see ``attention_layers``.
    """
    original = dict(denoiser.attn_processors)
    hooked = {
        name: hooked_processor(processor, layers[name], hook) if name in layers else processor
        for name, processor in original.items()
    }
    denoiser.set_attn_processor(hooked)
    try:
        yield
    finally:
        denoiser.set_attn_processor(original)


def use_plain_attention(denoiser: Any) -> None:
    """Let all layers attend by ``plain_attention`` wherever no other hook computes their attention.

    Args:
        denoiser: a diffusers model with ``attn_processors``.
    """
    attends_plainly = {
        name: processor if hasattr(processor, "hooked") else _PlainProcessor(processor)
        for name, processor in denoiser.attn_processors.items()
    }
    denoiser.set_attn_processor(attends_plainly)


def read_texts_apart(unet: Any) -> None:
    """Let a UNet's cross-attention take texts of twice their width: of keys, then of values.

    Projections see their half, and a text of the common width as it is. That stays so: where activations are
    computed again for a gradient, the text is still that of the call.

    Args:
        unet: ``UNet2DConditionModel``.
    """
    for name, module in unet.named_modules():
        if name.endswith(".attn2.to_k"):
            _add_hook(module, _first_half)
        elif name.endswith(".attn2.to_v"):
            _add_hook(module, _second_half)


def _add_hook(projection: Any, hook: Any) -> None:
    """Add a hook before a module, unless it is there."""
    if hook not in projection._forward_pre_hooks.values():
        projection.register_forward_pre_hook(hook)


def _first_half(projection: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
    """What keys read of a text ``[rows, tokens, 2 width]``; None leaves others alone."""
    (text,), width = inputs, projection.in_features
    return (text[..., :width],) if text.shape[-1] == 2 * width else None


def _second_half(projection: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
    """What values read of it."""
    (text,), width = inputs, projection.in_features
    return (text[..., width:],) if text.shape[-1] == 2 * width else None


def attention_layers(denoiser: Any, latent_shape: tuple[int, int]) -> dict[str, AttentionLayer]:
    """Describe a denoiser's attention layers by the names of their processors, in order as they run.

    Args:
        denoiser: ``UNet2DConditionModel``, ``SD3Transformer2DModel`` or ``FluxTransformer2DModel``.
        latent_shape: height and width of the latents.
    """
    if hasattr(denoiser, "single_transformer_blocks"):
        return flux_attention_layers(denoiser, latent_shape)
    describe = unet_attention_layers if hasattr(denoiser, "down_blocks") else joint_attention_layers
    return describe(denoiser, latent_shape)


def unet_attention_layers(unet: Any, latent_shape: tuple[int, int]) -> dict[str, AttentionLayer]:
    """Describe a UNet's attention layers by the names of their processors, in the order in which they run.

    Args:
        unet: ``UNet2DConditionModel``.
        latent_shape: height and width of the latents.
    """
    kinds: dict[str, Literal["self", "cross"]] = {"attn1": "self", "attn2": "cross"}
    count = {"self": 0, "cross": 0}
    layers, names = {}, list(unet.attn_processors)  # which diffusers looks for in all modules
    for place, halvings in _halvings(unet).items():
        factor = 2**halvings
        grid = (-(-latent_shape[0] // factor), -(-latent_shape[1] // factor))
        for name in names:
            if name.startswith(place):
                kind = kinds[name.removesuffix(".processor").rsplit(".", 1)[-1]]
                layers[name] = AttentionLayer(kind, count[kind], factor, grid)
                count[kind] += 1
    return layers


def joint_attention_layers(transformer: Any, latent_shape: tuple[int, int]) -> dict[str, AttentionLayer]:
    """Describe the attention layers of a transformer whose sequence is the image, then the text.

    Blocks of dual attention (Stable Diffusion 3.5's first ones) have a second layer, of the image alone.

    Args:
        transformer: ``SD3Transformer2DModel``.
        latent_shape: height and width of the latents.
    """
    patch = transformer.config.patch_size
    grid = (latent_shape[0] // patch, latent_shape[1] // patch)
    text = slice(grid[0] * grid[1], None)
    count = {"self": 0, "joint": 0}
    layers, names = {}, list(transformer.attn_processors)
    for block in range(len(transformer.transformer_blocks)):
        for part, kind in _OF_JOINT_BLOCKS.items():
            name = f"transformer_blocks.{block}.{part}.processor"
            if name in names:
                behind = text if kind == "joint" else None
                layers[name] = AttentionLayer(kind, count[kind], patch, grid, behind)
                count[kind] += 1
    return layers


def flux_attention_layers(transformer: Any, latent_shape: tuple[int, int]) -> dict[str, AttentionLayer]:
    """Describe the attention layers of a transformer whose sequence is the text, then the image.

    Double blocks, which have weights of their own for the text, come first, then single ones.

    Args:
        transformer: ``FluxTransformer2DModel``.
        latent_shape: height and width of the latents.
    """
    patch = FAMILIES["flux"].packing
    grid = (latent_shape[0] // patch, latent_shape[1] // patch)
    before = slice(0, -grid[0] * grid[1])  # whatever the number of the text's tokens
    doubles, singles = (
        [f"{blocks}.{block}.attn.processor" for block in range(len(getattr(transformer, blocks)))]
        for blocks in ("transformer_blocks", "single_transformer_blocks")
    )
    numbers = [*[None] * len(doubles), *range(len(singles))]
    return {
        name: AttentionLayer("joint", index, patch, grid, before, numbers[index])
        for index, name in enumerate(doubles + singles)
    }


_OF_JOINT_BLOCKS: dict[str, Literal["joint", "self"]] = {"attn": "joint", "attn2": "self"}


def _halvings(unet: Any) -> dict[str, int]:
    """How often the latent is halved in each block, by the beginning of its modules' names."""
    found, halvings = {}, 0
    for index, block in enumerate(unet.down_blocks):
        found[f"down_blocks.{index}."] = halvings
        halvings += bool(block.downsamplers)
    found["mid_block."] = halvings
    for index, block in enumerate(unet.up_blocks):
        found[f"up_blocks.{index}."] = halvings
        halvings -= bool(block.upsamplers)
    return found


def hooked_processor(processor: Any, layer: AttentionLayer, hook: AttentionHook) -> Any:
    """A processor whose attention itself is left to a hook: made by itself if it can, or put around it."""
    if hasattr(processor, "hooked"):
        return processor.hooked(layer, hook)
    return _HookedProcessor(processor, layer, hook)


class _HookedProcessor:
    """A diffusers attention processor whose attention itself is left to a hook.

    Projections, norms and rotary embeddings stay those of the processor around which it is.
    """

    def __init__(self, processor: Any, layer: AttentionLayer, hook: AttentionHook):
        self._processor, self._attend = processor, partial(_attend, hook, layer)
        # diffusers reads its signature, and drops keyword arguments that it does not name.
        self.__call__ = processor.__call__  # type: ignore[method-assign]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _take_over()(self._attend) as taken:
            output = self._processor(*args, **kwargs)
        if taken.calls != 1:
            raise PiebenchError(
                f"{type(self._processor).__name__} called scaled_dot_product_attention {taken.calls} times, "
                "not once, so that no method can control it; use diffusers' default attention processors and "
                "attention backend (DIFFUSERS_ATTN_BACKEND=native)"
            )
        return output


class _PlainProcessor:
    """A diffusers attention processor that calls ``plain_attention`` in the place of PyTorch's function."""

    def __init__(self, processor: Any):
        self._processor = processor
        self.__call__ = processor.__call__  # type: ignore[method-assign]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _take_over()(_attend_plainly):
            return self._processor(*args, **kwargs)

    def hooked(self, layer: AttentionLayer, hook: AttentionHook) -> _HookedProcessor:
        """The processor with its attention left to a hook."""
        return _HookedProcessor(self._processor, layer, hook)


@cache
def _take_over() -> Any:
    """The class of contexts in which another function attends in PyTorch's place; calls are counted."""
    from torch.nn.functional import scaled_dot_product_attention
    from torch.overrides import TorchFunctionMode

    class TakeOver(TorchFunctionMode):
        def __init__(self, attend: Callable[..., torch.Tensor]):
            super().__init__()
            self.attend, self.calls = attend, 0

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is not scaled_dot_product_attention:
                return function(*args, **(kwargs or {}))
            self.calls += 1
            return self.attend(*args, **(kwargs or {}))

    return TakeOver


def _attend(hook: AttentionHook, layer: AttentionLayer, *args: Any, **kwargs: Any) -> torch.Tensor:
    """What a hook makes of a call of ``scaled_dot_product_attention``."""
    if (states := states_without_options(*args, **kwargs)) is None:
        raise PiebenchError(
            "this model's attention has a mask, dropout or a scale of its own, which no method can control"
        )
    return hook.attend(layer, *states)


def _attend_plainly(*args: Any, **kwargs: Any) -> torch.Tensor:
    """``scaled_dot_product_attention`` by ``plain_attention``, unless it is called with options."""
    from torch.nn.functional import scaled_dot_product_attention

    states = states_without_options(*args, **kwargs)
    return scaled_dot_product_attention(*args, **kwargs) if states is None else plain_attention(*states)


def states_without_options(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """Query, key and value of a call of ``scaled_dot_product_attention``; None if it has options."""
    has_options = attn_mask is not None or dropout_p or is_causal or any(options.values())
    return None if has_options else (query, key, value)


def plain_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention by PyTorch's fused kernel, which never writes the maps out; or by what is faster.

    Args:
        query: ``[rows, heads, positions, width]``.
        key: ``[rows, heads, tokens, width]``.
        value: as ``key``.

    Returns:
        As ``query``.
    """
    from torch.nn import functional

    from piebench_eval.models.onednn import attends_by_onednn, onednn_attention

    if attends_by_onednn(query, key):
        return onednn_attention(query, key, value)
    return functional.scaled_dot_product_attention(query, key, value)
