"""The interface of attention controllers, and how they are attached to a UNet."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.observer import JOINT_LAYERS
from piebench_eval.diffusion.rows import Branch, Row, SourceReads
from piebench_eval.errors import PiebenchError
from piebench_eval.models.attention import attention_layers, controlled_attention, plain_attention
from piebench_eval.models.compile import uncompiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch

    from piebench_eval.diffusion.features import FeatureMemory
    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.observer import EditObserver
    from piebench_eval.diffusion.rows import EndedRows, RowBatch
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.attention import AttentionHook, AttentionLayer


class AttentionController:
    """What an editing method takes from the source branch, inside the UNet and after each step.

    This base class takes nothing: the target is sampled with plain guidance. A method overrides what it
    needs.

    Attributes:
        num_samples: number of samples in the batch.
        hooked_modules: names of UNet modules whose outputs ``module_output`` may change.
        modifies_guidance: whether to call ``modify_guidance``, at any guidance scale; the source then takes
            its own steps unless the inversion fixes it.
        modifies_target_guidance: whether to call ``modify_target_guidance``, at any guidance scale; it needs
            no row of the source.
        leaves_source: whether ``attend`` and ``module_output`` leave the source's rows as they are without
            the method, so that a ``Retracing`` can take the source's own steps from them.
        source_first: whether the source's rows are evaluated in a call of their own, before the target's, and
            ``move_target`` in between, with one more evaluation of the target's rows, differentiated.
        mutual_branch: whether there is a third branch, see ``Branch``; ``mutual_reads`` says where it counts.
        step: index of the current step.
        stage: index of the current evaluation in the step; 0 unless the solver has several.
        level: the level that the current step leads from.
        time: the model's time at the current evaluation, that of its latents.
        features: what is kept of the inversion's attention, if the method reads any; see ``FeatureMemory``.
        rows: the rows of the current UNet call; as soon as some have ended, the others.
        ended: which rows of the call end before its output, and where; None if all go to the end.
        latent_shape: height and width of the latents.
        mutual_latents: at a step's end, the mutual branch's latents ``[samples, 4, h, w]``; None without one.
        observer: who looks on; None if nobody does. See ``note_maps`` and ``note_mask``.
    """

    hooked_modules: Sequence[str] = ()
    modifies_guidance: bool = False
    modifies_target_guidance: bool = False
    leaves_source: bool = False
    source_first: bool = False
    mutual_branch: bool = False
    features: FeatureMemory | None = None
    step: int
    stage: int
    level: int
    time: float
    rows: RowBatch
    ended: EndedRows | None = None
    latent_shape: tuple[int, int]
    mutual_latents: torch.Tensor | None = None
    observer: EditObserver | None = None

    def __init__(self, num_samples: int):
        self.num_samples = num_samples

    def begin_edit(self, inverted: InversionResult) -> None:
        """Note what the edit begins from; called once, before the first step."""

    def source_reads(self, step: int) -> Sequence[SourceReads]:
        """What the method reads of the source in a step, for each sample."""
        return [SourceReads()] * self.num_samples

    def mutual_reads(self, step: int) -> Sequence[SourceReads]:
        """What the method reads of the mutual branch in a step, for each sample."""
        return [SourceReads()] * self.num_samples

    def reads_layer(self, step: int, layer: AttentionLayer) -> bool:
        """Whether ``attend`` reads rows of the source in an attention layer, in a step in which it has any.

        Rows whose output nobody needs end behind the last such layer. In others attention is each row's own.
        All layers by default.
        """
        return True

    def reads_module(self, step: int, name: str) -> bool:
        """Likewise, whether ``module_output`` reads them in one of ``hooked_modules``."""
        return True

    def begin_step(self, step: int, rows: RowBatch, latent_shape: tuple[int, int], stage: int = 0) -> None:
        """Note the rows of the coming call of the model; called before each one."""
        self.step, self.rows, self.latent_shape, self.stage = step, rows, latent_shape, stage

    def go_on(self) -> None:
        """Note that the rows which end in the current call have ended."""
        if self.ended is not None:
            self.rows = self.ended.left

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Return attention's output, ``[rows, heads, positions, width]``, as ``query``.

        A method's own may call this one for plain attention of all rows, and look at any of them.
        """
        if self.attends:
            return plain_attention(query, key, value)
        return self.own_attention(layer, query, key, value)

    @property
    def attends(self) -> bool:
        """Whether the method has an ``attend`` of its own."""
        return type(self).attend is not AttentionController.attend

    def own_attention(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Plain attention of each row; zeros for rows that end behind this layer, which nobody reads."""
        if self.ended is None or self.ended.layer != layer:
            return plain_attention(query, key, value)
        going_on = self.ended.going_on
        attended = query.new_zeros(query.shape)
        attended[going_on] = plain_attention(query[going_on], key[going_on], value[going_on])
        return attended

    def module_output(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """Return the output ``[rows, channels, height, width]`` of one of ``hooked_modules``."""
        return output

    def modify_guidance(
        self, source: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both branches' guidance differences, cond - uncond, each ``[samples, 4, h, w]``."""
        return source, target

    def modify_target_guidance(self, target: torch.Tensor) -> torch.Tensor:
        """Return the target's guidance difference, cond - uncond, ``[samples, 4, h, w]``."""
        return target

    def move_target(
        self,
        latents: Mapping[Row, torch.Tensor],
        evaluate: Callable[[Mapping[Row, torch.Tensor]], torch.Tensor],
    ) -> Mapping[Row, torch.Tensor]:
        """Return where the target's rows are evaluated in a step, which goes on from the first of them.

        Called with ``source_first``, in the first stage of a step, when the source's rows are evaluated.

        Args:
            latents: where each of the target's rows is, ``[samples, 4, h, w]``; all at the same latents.
            evaluate: the model's output at other latents of the rows; it can be differentiated by them.
        """
        return latents

    def after_prediction(
        self, latents: torch.Tensor, output: torch.Tensor, schedule: Schedule, level: int
    ) -> torch.Tensor:
        """Return the target's (guided) output of the model, before it is followed.

        Args:
            latents: the target latents that it was predicted for ``[samples, 4, h, w]``, without what an
                inversion adds to them there.
            output: what the model predicts, under guidance, same shape.
            schedule: the noise schedule, which knows what an output means.
            level: the level that the step leads from; a solver's later stages are below it, see ``time``.
        """
        return output

    def note_maps(self, samples: Sequence[int], maps: torch.Tensor) -> None:
        """Show an observer by which maps the target attends to the text in a layer, if not by its own.

        Args:
            samples: places in the batch.
            maps: of the target's conditional rows ``[samples, heads, positions, tokens]``, float32.
        """
        if self.observer is not None:
            self.observer.used_maps = samples, maps

    def note_mask(self, samples: Sequence[int], mask: torch.Tensor) -> None:
        """Show an observer where the target is edited in this step.

        Args:
            samples: places in the batch.
            mask: from 0 to 1 ``[samples, 1, h, w]``.
        """
        if self.observer is not None:
            self.observer.note_mask(samples, mask)

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the target latents after the step, given both branches' ``[samples, 4, h, w]``."""
        return target

    def end_step(self, step: int, latents: Mapping[Branch, torch.Tensor]) -> torch.Tensor:
        """Note the mutual branch's latents, if there are any, and return what ``on_step_end`` does."""
        self.mutual_latents = latents.get(Branch.MUTUAL)
        return self.on_step_end(step, latents[Branch.SOURCE], latents[Branch.TARGET])


@contextmanager
def controlled(
    denoiser: Any, controller: AttentionController, latent_shape: tuple[int, int]
) -> Iterator[None]:
    """Attach a controller to a denoiser, and detach it at the end, also after an error.

    Args:
        denoiser: the model's UNet.
        controller: from an editing method.
        latent_shape: height and width of the latents.

    Raises:
        PiebenchError: the UNet lacks a module that the controller wants to hook.
    """
    with ExitStack() as stack:
        for name in controller.hooked_modules:
            try:
                module = denoiser.get_submodule(name)
            except AttributeError:
                raise PiebenchError(
                    f"this model's {type(denoiser).__name__} has no module {name}; see the method's "
                    "settings in piebench methods"
                ) from None
            stack.enter_context(uncompiled(denoiser, name))
            handle = module.register_forward_hook(partial(_pass_output, controller, name))
            stack.callback(handle.remove)
        layers = attention_layers(denoiser, latent_shape)
        hook = _hook_of(controller, list(layers.values()))
        stack.enter_context(controlled_attention(denoiser, hook, layers))
        yield


def _hook_of(controller: AttentionController, layers: Sequence[AttentionLayer]) -> AttentionHook:
    """A controller, or one that is looked at."""
    if controller.observer is None:
        return controller
    return _ObservedAttention(controller, controller.observer, layers)


class _ObservedAttention:
    """A controller's attention, of which an observer is told: of all cross-attention, and of some joint."""

    def __init__(
        self, controller: AttentionController, observer: EditObserver, layers: Sequence[AttentionLayer]
    ):
        self._controller, self._observer = controller, observer
        joint = [layer for layer in layers if layer.kind == "joint"]
        count = min(JOINT_LAYERS, len(joint))
        spaced = [joint[number * len(joint) // count] for number in range(count)]
        observed = [layer for layer in layers if layer.kind == "cross"] + spaced
        self._observed = {(layer.kind, layer.index) for layer in observed}

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Return what the controller does."""
        controller = self._controller
        attended = controller.attend(layer, query, key, value)
        if (layer.kind, layer.index) in self._observed:
            self._observer.attended(layer, query, key, controller.rows, controller.step)
        self._observer.used_maps = None
        return attended


def _pass_output(
    controller: AttentionController, name: str, _module: Any, _inputs: Any, output: torch.Tensor
) -> torch.Tensor:
    return controller.module_output(name, output)
