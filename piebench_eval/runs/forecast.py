"""Forecast the cost of a run: model evaluations, counted on a dummy model, and time, by past records."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import product
from statistics import mean
from typing import TYPE_CHECKING, Any

import torch

from piebench_eval.combination_names import combination_name
from piebench_eval.demo.embedded import DEMO, locate
from piebench_eval.diffusion.loop import plan_edit
from piebench_eval.diffusion.retraced_edit import begin_retracing
from piebench_eval.diffusion.rows import Branch
from piebench_eval.editors import EDITORS
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.cache import Cache
from piebench_eval.models.conditioning import VALUES, Conditioning
from piebench_eval.models.location import find_family, found_parts, model_index
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.plugins import plugin_errors
from piebench_eval.runs.edit_inputs import embed_inputs, plan_guidance, plan_schedule
from piebench_eval.runs.estimates.edit_costs import computed_evaluations
from piebench_eval.runs.jobs import model_spec
from piebench_eval.runs.row_operations import RowOperations, operations_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.controller import AttentionController
    from piebench_eval.diffusion.features import FeatureMemory
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.rows import StepRows
    from piebench_eval.methods.base import Prompts
    from piebench_eval.models.attention import AttentionHook
    from piebench_eval.models.families import Family
    from piebench_eval.recipes.combination import Combination, CommonSettings
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.store.folder import Scan
    from piebench_eval.runs.store.records import EditKey


@dataclass(frozen=True)
class Forecast:
    """The forecast of one combination. Model evaluations (NFE) are counted in rows of a batch.

    Attributes:
        combination: name of the combination.
        done: number of finished edits.
        failed: number of edits that have failed.
        missing: number of edits that are neither.
        nfe_forward: mean model evaluations per edit; the maximum if an optimisation can stop early.
        nfe_backward: those that are differentiated too, likewise.
        nfe_reused: those of both that an earlier edit has computed: by another combination, or for another
            target of the picture.
        nfe_to_compute: evaluations of the missing edits that no earlier one has computed.
        seconds: time that one worker needs for the missing edits; None before any edit is recorded.
        nfe_source: evaluations, forward and backward, that all target prompts of a picture share.
        operations: share of the denoiser's operations in all these evaluations that is computed, since rows
            end behind the last layer that is read; None where the model's configuration is not at hand.
    """

    combination: str
    done: int
    failed: int
    missing: int
    nfe_forward: float
    nfe_backward: float
    nfe_reused: float
    nfe_to_compute: int
    seconds: float | None
    nfe_source: float
    operations: float | None = 1.0


def forecast(recipe: Recipe, samples: Sequence[Sample], scan: Scan) -> list[Forecast]:
    """Forecast the cost of every combination.

    Args:
        recipe: the recipe of the run.
        samples: the samples of the run.
        scan: the finished, failed and missing edits.
    """
    costs = count_evaluations(recipe, samples, operations=True)
    pace = _seconds_per_evaluation(scan.done)
    done, failed, missing = (
        Counter(key[:2] for key in keys) for keys in (scan.done, scan.failed, scan.missing)
    )
    left: Counter[tuple[str, str]] = Counter()
    for key in scan.missing:
        left[key[:2]] += costs[key].computed
    overall = pace.get(None)
    found = []
    for pair in recipe.pairs:
        name = combination_name(*pair)
        own = pace.get(name, overall)
        of_pair = [cost for key, cost in costs.items() if key[:2] == pair]
        found.append(
            Forecast(
                combination=name,
                done=done[pair],
                failed=failed[pair],
                missing=missing[pair],
                nfe_forward=mean(cost.forward for cost in of_pair),
                nfe_backward=mean(cost.backward for cost in of_pair),
                nfe_reused=mean(cost.reused for cost in of_pair),
                nfe_to_compute=left[pair],
                seconds=None if own is None else own * left[pair],
                nfe_source=mean(cost.source for cost in of_pair),
                operations=_share([cost for cost in of_pair if cost.total]),
            )
        )
    return found


@dataclass(frozen=True)
class PlannedEvaluations:
    """Model evaluations that one edit is expected to need.

    Attributes:
        forward: all that it needs.
        backward: those that are differentiated too.
        reused: those of both that an earlier edit has computed: by another combination, or for another
            target of the picture.
        source: those of both that all target prompts of the picture share: the inversion's, unless features
            are kept of it, which is done for one edit alone.
        steps: sampling steps; fewer than those of the schedule if the inversion skips some.
        unread: whole evaluations that are saved where rows end before the output, of ``total``; None where
            the model's configuration is not at hand.
    """

    forward: int
    backward: int
    reused: int
    source: int
    steps: int
    unread: float | None = 0.0

    @property
    def total(self) -> int:
        """Forward and backward."""
        return self.forward + self.backward

    @property
    def computed(self) -> int:
        """Those that no earlier edit has computed."""
        return self.total - self.reused


def count_evaluations(
    recipe: Recipe, samples: Sequence[Sample], operations: bool = False
) -> dict[EditKey, PlannedEvaluations]:
    """Count the model evaluations of every edit, without a model: they do not depend on weights.

    The cost of a sample depends only on what the method reads of the source, on which of its prompts are
    equal, and on what earlier targets of the same picture have left. One sample of each kind is therefore
    inverted with a dummy model, whose noise is random: no optimisation stops early on it. Rows of the source
    that targets share in a batch are counted for each, since batches are not known.

    Args:
        recipe: the recipe of the run.
        samples: the samples of the run.
        operations: count operations too, which takes longer; without it rows are taken for whole ones.
    """
    from piebench_eval.runs.store.records import EditKey

    dummy = _DummyModel.load()
    combinations = [recipe.combination(*pair) for pair in recipe.pairs]
    signatures = [_signatures(dummy, combination, samples) for combination in combinations]
    costs = {}
    for earlier, of_kind in _kinds(samples, list(zip(*signatures, strict=True))):
        dummy.caches.clear()
        for sample, combination in product(earlier, combinations):
            _cost(dummy, combination, sample, operations=False)
        for combination in combinations:
            cost = _cost(dummy, combination, of_kind[0], operations)
            for sample in of_kind:
                costs[EditKey(combination.inversion, combination.method, sample.id)] = cost
    return costs


def _kinds(samples: Sequence[Sample], signatures: Sequence[Any]) -> list[tuple[list[Sample], list[Sample]]]:
    """Samples whose edits cost the same, by what they depend on and that of the targets before them.

    Returns:
        For each kind, targets of its first sample's picture that come before that, one of each signature, and
        the samples.
    """
    kinds: dict[Any, tuple[list[Sample], list[Sample]]] = {}
    before: dict[Any, Sample] = {}
    for last, sample, signature in zip([None, *samples], samples, signatures, strict=False):
        if last is None or last.source != sample.source:
            before = {}
        _, of_kind = kinds.setdefault((frozenset(before), signature), (list(before.values()), []))
        of_kind.append(sample)
        before.setdefault(signature, sample)
    return list(kinds.values())


def _share(costs: Sequence[PlannedEvaluations]) -> float | None:
    """The mean share of whole rows' operations that edits compute."""
    unread = [cost.unread for cost in costs]
    if any(of_edit is None for of_edit in unread):
        return None
    return 1 - sum(of_edit or 0 for of_edit in unread) / max(1, sum(cost.total for cost in costs))


def _signatures(dummy: _DummyModel, combination: Combination, samples: Sequence[Sample]) -> list[Any]:
    """For each sample, what its cost depends on."""
    if combination.is_editor:
        return _editor_signatures(dummy, combination, samples)
    method, steps = METHODS.get(combination.method), combination.common.steps
    dummy.stand_in_for(combination)
    with plugin_errors(combination.inversion, combination.method):
        controller = method.prepare(samples, dummy, steps, combination.method_settings).controller
        reads = zip(
            *(
                zip(controller.source_reads(step), controller.mutual_reads(step), strict=True)
                for step in range(steps)
            ),
            strict=True,
        )
        prompts = [method.prompts(sample, combination.method_settings) for sample in samples]
    return [
        (of_sample, _equalities(texts)) for of_sample, texts in zip(map(tuple, reads), prompts, strict=True)
    ]


def _editor_signatures(dummy: _DummyModel, combination: Combination, samples: Sequence[Sample]) -> list[Any]:
    """Likewise of an editor: which of the prompts are equal; nothing where it loads its own model."""
    if combination.loads_itself:
        return [()] * len(samples)
    dummy.stand_in_for(combination)
    prompts = EDITORS.get(combination.method).prompts
    with plugin_errors("", combination.method):
        return [_equalities(prompts(sample, combination.editor_settings)) for sample in samples]


def _editor_cost(dummy: _DummyModel, combination: Combination, sample: Sample) -> PlannedEvaluations:
    """Count the evaluations of an editor: as it declares them, or by editing with the dummy model."""
    settings, common, guidance = combination.editor_settings, combination.common, None
    editor = EDITORS.get(combination.method).with_settings(settings)
    if editor.edit_latents is not None:
        dummy.stand_in_for(combination)
        guidance = plan_guidance(dummy, common)
    if editor.edit_latents is None or editor.evaluations is not None:
        with plugin_errors("", combination.method):
            declared = None if editor.evaluations is None else editor.evaluations(settings, common, guidance)
        return PlannedEvaluations(declared or 0, 0, 0, 0, common.steps)
    dummy.evaluations = EvaluationCounter()
    schedule = plan_schedule(dummy, common, (8, 8))
    with plugin_errors("", combination.method):
        inputs = _inputs(dummy, common, editor.prompts(sample, settings))
        if editor.masks == "benchmark":
            inputs = replace(inputs, masks=torch.ones_like(inputs.latents[:, :1]))
        editor.edit_latents(dummy, [sample], inputs, schedule, settings)
    forward, backward = dummy.evaluations.forward[0], dummy.evaluations.backward[0]
    return PlannedEvaluations(forward, backward, 0, 0, common.steps)


def _inputs(dummy: _DummyModel, common: CommonSettings, texts: Prompts) -> EditInputs:
    """What an edit of one sample begins with."""
    guidance = plan_guidance(dummy, common)
    inputs = embed_inputs(dummy, dummy.latents(common), [texts], (64, 64), guidance, common.seed)
    return replace(inputs, noise_on_device=common.quirks.noise_on_device)


def _equalities(texts: Prompts) -> tuple[int, ...]:
    """Which prompts of a sample are the same text: for each, the index of its first equal."""
    all_texts = ["", texts.inversion, texts.source, texts.target, texts.negative]
    return tuple(all_texts.index(text) for text in all_texts)


def sampling_rows(combination: Combination, sample: Sample) -> list[StepRows]:
    """The rows of a UNet call that each sampling step of one edit evaluates, planned without a model.

    Returns:
        One entry per step, the noisiest first.
    """
    return list(_plan_edit(_DummyModel.load(), combination, sample).steps)


def _cost(
    dummy: _DummyModel, combination: Combination, sample: Sample, operations: bool
) -> PlannedEvaluations:
    """Count the evaluations of inverting a sample with the dummy model, and those of its planned edit."""
    if combination.is_editor:
        return _editor_cost(dummy, combination, sample)
    planned = _plan_edit(dummy, combination, sample)
    evaluations, inverted = dummy.evaluations, planned.inverted
    moving = sum(row.branch is not Branch.SOURCE for step in planned.steps for row in step.rows)
    differentiated = moving if planned.controller.source_first else 0
    inversion = evaluations.forward[0] + evaluations.backward[0]
    sampling = sum(len(step.rows) for _, step in planned.calls)
    return PlannedEvaluations(
        evaluations.forward[0] + sampling + differentiated,
        evaluations.backward[0] + differentiated,
        evaluations.reused[0],
        0 if METHODS.get(combination.method).reads_inversion else inversion,
        inverted.steps,
        planned.unread(dummy, combination) if operations else 0.0,
    )


def kept_features(combination: Combination, sample: Sample) -> FeatureMemory | None:
    """What one edit keeps of its inversion, told of every evaluation, without a feature; None if nothing."""
    return _invert(_DummyModel.load(), combination, sample)[2].features


@dataclass(frozen=True)
class _PlannedEdit:
    """The edit of one sample, inverted with the dummy model: its sampling steps, the noisiest first."""

    inverted: InversionResult
    controller: AttentionController
    first_step: int
    steps: Sequence[StepRows]

    @property
    def calls(self) -> list[tuple[int, StepRows]]:
        """Of each call of the model the index of its step, and its rows."""
        levels = range(self.inverted.steps, 0, -1)
        stages = [self.inverted.solver.stages_at(level, self.inverted.steps) for level in levels]
        of_steps = zip(stages, enumerate(self.steps, start=self.first_step), strict=True)
        return [call for count, call in of_steps for _ in range(count)]

    def unread(self, dummy: _DummyModel, combination: Combination) -> float | None:
        """Whole evaluations that are saved where rows end early; None where nothing is known of the model."""
        if dummy.family.denoiser != "unet":
            return 0.0
        operations = operations_of(combination, dummy.operations)
        if operations is None:
            return None
        with plugin_errors(combination.inversion, combination.method):
            return operations.unread(self.controller, self.inverted.solver, self.calls)


def _plan_edit(dummy: _DummyModel, combination: Combination, sample: Sample) -> _PlannedEdit:
    """Invert one sample with the dummy model, and plan its edit up to the first step."""
    inputs, inverted, controller, first_step = _invert(dummy, combination, sample)
    with plugin_errors(combination.inversion, combination.method):
        (steps,) = plan_edit(inputs, inverted, controller, first_step)
        begin_retracing(inputs, inverted, controller, [[step] for step in steps])
    return _PlannedEdit(inverted, controller, first_step, steps)


def _invert(
    dummy: _DummyModel, combination: Combination, sample: Sample
) -> tuple[EditInputs, InversionResult, AttentionController, int]:
    """Invert one sample with the dummy model; returns what ``plan_edit`` plans its edit from."""
    common = combination.common
    dummy.evaluations = EvaluationCounter()
    dummy.stand_in_for(combination)
    method = METHODS.get(combination.method)
    schedule = plan_schedule(dummy, common, (8, 8))
    with plugin_errors(combination.inversion, combination.method):
        texts = method.prompts(sample, combination.method_settings)
        inputs = _inputs(dummy, common, texts)
        invert = INVERSIONS.get(combination.inversion).invert
        controller = method.prepare([sample], dummy, common.steps, combination.method_settings).controller
        inputs = replace(inputs, features=controller.features)
        inverted = invert(dummy, inputs, schedule, combination.inversion_settings)
    first_step = schedule.steps - inverted.steps if common.quirks.count_skipped_steps else 0
    return inputs, inverted, controller, first_step


class _Missing:
    """A part that the dummy model does not have: reading an attribute of it is an error that says so."""

    def __init__(self, part: str):
        self._part = part

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"evaluations are counted on a dummy model, which has no {self._part} (.{name} was read); "
            "use model.predict, and the shapes of latents and embeddings"
        )


class _DummyModel(DiffusionModel):
    """A model without weights: the embedding of a prompt is its number, and the noise is random.

    ``piebench_eval.inversions.base.Inversion`` says what an inversion can use of it.
    """

    family: Family  # type: ignore[misc]
    zeros_for_empty_prompt: bool
    caches: dict[Any, Cache]
    numbers: dict[str, int]
    pictures: dict[Any, int]
    tokenizers: list[tuple[Any, int]]
    operations: dict[Any, RowOperations]

    @classmethod
    def load(cls) -> _DummyModel:
        from transformers import CLIPTokenizer

        dummy = cls(
            vae=_Missing("autoencoder"),
            tokenizer=CLIPTokenizer.from_pretrained(locate("model", DEMO), subfolder="tokenizer"),
            device=torch.device("cpu"),
            alphas_cumprod=torch.linspace(0.999, 0.005, 1000).tolist(),
            scheduler={"shift": 3.0},
        )
        dummy.caches, dummy.numbers, dummy.pictures, dummy.tokenizers = {}, {}, {}, []
        dummy.operations = {}
        return dummy

    def stand_in_for(self, combination: Combination) -> None:
        """Be the model of a combination, as far as its files on this machine say."""
        spec = model_spec(combination)
        self.family = find_family(spec.name, spec.revision, spec.family)
        self.zeros_for_empty_prompt = model_index(spec.name, spec.revision).get(
            "force_zeros_for_empty_prompt", self.family.zeros_for_empty_prompt
        )
        clip = (self.tokenizer, spec.clip_length or self.tokenizer.model_max_length)
        with_t5 = self.family.t5 in found_parts(spec.name, spec.revision, spec.family).weights
        # T5 reads on where CLIP stops: prompts that differ there are different texts.
        longer = [(self.tokenizer, spec.t5_length or self.family.t5_length)] if with_t5 else []
        self.tokenizers = [clip, *longer]
        self.cache = self.caches.setdefault(spec, Cache({}))

    def latents(self, common: CommonSettings) -> torch.Tensor:
        """Of a picture; others where settings make others of it, so that nothing is shared between them."""
        drawn = (common.seed, common.quirks.noise_on_device) if common.posterior == "sample" else ()
        key = common.resolution, common.posterior, common.quirks.added_shift, *drawn
        return torch.full((1, 4, 8, 8), 1.0 + self.pictures.setdefault(key, len(self.pictures)))

    @property
    def denoiser(self) -> Any:
        return _Missing("transformer" if self.family.denoiser == "transformer" else "UNet")

    @property
    def unet(self) -> Any:
        return _Missing("UNet")

    @property
    def text_encoders(self) -> dict[str, Any]:
        return {"text_encoder": _Missing("text encoder")}

    @property
    def text_tokenizers(self) -> list[tuple[Any, int]]:
        return self.tokenizers

    def attention_through(
        self, hook: AttentionHook, latent_shape: tuple[int, int]
    ) -> AbstractContextManager[None]:
        return nullcontext()

    @property
    def uncond_is_empty_prompt(self) -> bool:
        return not self.zeros_for_empty_prompt

    def embed_prompts(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        numbers = [self.numbers.setdefault(prompt, len(self.numbers)) for prompt in prompts]
        length = sum(length for _, length in self.text_tokenizers)
        tokens = torch.tensor(numbers, dtype=torch.float32)[:, None, None].expand(-1, length, 1).contiguous()
        if not self.family.projected:
            return Conditioning(tokens)
        vectors = {"time_ids": torch.zeros(len(prompts), 6)} if self.family.name == "sdxl" else {}
        return Conditioning(tokens, tokens[:, 0], vectors)

    def denoise(self, latents: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        # What can be optimised takes part, so that it can be differentiated.
        text = conditioning.vectors.get(VALUES, conditioning.tokens)
        return torch.randn_like(latents) + 0 * text.mean(dim=(1, 2))[:, None, None, None]

    def image_tokens(self, pictures: Sequence[NDArray[np.uint8]], encoder: str) -> torch.Tensor:
        return torch.zeros(1, 1, 1)


def _seconds_per_evaluation(done: Mapping[EditKey, dict[str, Any]]) -> dict[str | None, float]:
    """Seconds per model evaluation so far, by combination; None stands for all together."""
    seconds: Counter[str | None] = Counter()
    evaluations: Counter[str | None] = Counter()
    for key, record in done.items():
        for name in (key.combination, None):
            seconds[name] += record["seconds"]
            evaluations[name] += computed_evaluations(record)
    return {name: seconds[name] / evaluations[name] for name in seconds if evaluations[name]}
