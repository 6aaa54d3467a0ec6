"""What a run keeps of its inversions' attention, calculated before anything is loaded (feature sharing)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from piebench_eval.data.images import image_size, loaded_size, size_text
from piebench_eval.diffusion.feature_limits import FEATURE_OPTION, bytes_text
from piebench_eval.errors import PiebenchError
from piebench_eval.methods import METHODS
from piebench_eval.models.attention_sizes import attention_sizes
from piebench_eval.runs.feature_places import room_here
from piebench_eval.runs.feature_room import FeatureNeed
from piebench_eval.runs.jobs import model_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.data.images import Size
    from piebench_eval.data.sample import Sample
    from piebench_eval.models.attention_sizes import AttentionSizes
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.feature_room import FeatureRoom
    from piebench_eval.runs.machine import MachineOptions

_FOUR_BYTES = ("fp32", "tf32")
"""Precisions whose numbers have four bytes; those of others have two."""


def plan_features(recipe: Recipe, samples: Sequence[Sample], machine: MachineOptions) -> list[FeatureNeed]:
    """What the combinations of a recipe keep on this machine; nothing for most.

    Args:
        recipe: the recipe of the run.
        samples: the samples of the run.
        machine: on what and how it is executed.

    Raises:
        PiebenchError: a batch of ``machine.batch_size``, or of one if that is found out, does not fit.
    """
    reading = [pair for pair in recipe.pairs if pair[0] and METHODS.get(pair[1]).reads_inversion]
    if not reading or not samples:
        return []
    room, combinations = room_here(machine), [recipe.combination(*pair) for pair in reading]
    largest = [_largest_picture(combination, samples) for combination in combinations]
    found = [
        feature_need(combination, samples[0], size, room)
        for combination, size in zip(combinations, largest, strict=True)
        if size is not None
    ]
    needs = [need for need in found if need is not None]
    require_room(needs, machine, machine.batch_size or 1)
    return needs


def require_room(needs: Iterable[FeatureNeed], machine: MachineOptions, pictures: int = 1) -> None:
    """Refuse to begin what would not fit.

    Args:
        needs: what combinations keep.
        machine: on what and how the run is executed, for what can be changed about it.
        pictures: how many are edited together.

    Raises:
        PiebenchError: says how much is missing, and the remedies.
    """
    for need in needs:
        if need.largest_batch is not None and need.largest_batch < pictures:
            raise PiebenchError(_refusal(need, pictures, machine))


def feature_need(
    combination: Combination, sample: Sample, size: Size, room: FeatureRoom | None = None
) -> FeatureNeed | None:
    """What a combination keeps of the inversion of a picture.

    Args:
        combination: the combination.
        sample: any of the run's samples, which is inverted with a dummy model to count evaluations.
        size: width and height of the picture in pixels, as it is edited.
        room: see ``FeatureNeed``.

    Returns:
        The need; None if nothing is kept, or the model's layers are not known.

    Of FLUX.1-dev in bfloat16, megabytes at 512 and 1024 pixels with RF-Solver-Edit's and FireFlow's settings:

    >>> from pathlib import Path
    >>> from piebench_eval.data.sample import Sample
    >>> from piebench_eval.recipes.run_config import RunConfig
    >>> cat = Sample("cat", "cat.png", Path("cat.png"), "a cat", "a dog", "", "0", "", ())
    >>> for name in ("rf-solver-edit-flux", "fireflow-flux"):
    ...     recipe, _ = RunConfig(Path(name), "demo", {"precision": "bf16"}).build()
    ...     for side in (512, 1024):
    ...         need = feature_need(recipe.combination(*recipe.pairs[0]), cat, (side, side))
    ...         print(need.evaluations, need.bytes_per_evaluation // 10**6, need.bytes_per_picture // 10**6)
    4 169 679
    4 509 2038
    1 358 358
    1 1075 1075
    """
    from piebench_eval.runs.forecast import kept_features

    sizes, memory = _sizes(combination), None
    with suppress(PiebenchError):  # a plugin's method may ask for more than a dummy model has
        memory = kept_features(combination, sample)
    if sizes is None or memory is None:
        return None
    itemsize = 4 if combination.common.precision in _FOUR_BYTES else 2
    per_evaluation = sizes.bytes_per_picture(size, memory.keeps_layer, len(memory.features), itemsize)
    return FeatureNeed(combination.name, size, memory.evaluations, per_evaluation, room)


def _largest_picture(combination: Combination, samples: Sequence[Sample]) -> Size | None:
    """Width and height of the largest picture as it is edited; None if the model's sizes are not known."""
    if (sizes := _sizes(combination)) is None:
        return None
    loader, resolution = combination.common.image_loader, combination.common.resolution
    how = loader, resolution or sizes.images.native, sizes.images.multiple
    loaded = {loaded_size(image_size(sample.file), *how) for sample in samples}
    return max(loaded, key=lambda size: size[0] * size[1])


def _sizes(combination: Combination) -> AttentionSizes | None:
    spec = model_spec(combination)
    return attention_sizes(spec.name, spec.revision, spec.family, spec.clip_length, spec.t5_length)


def _refusal(need: FeatureNeed, pictures: int, machine: MachineOptions) -> str:
    """Why a batch does not fit, and what would."""
    asked, together = machine.feature_memory, pictures * need.bytes_per_picture
    batch = f", {bytes_text(together)} for {pictures} pictures" if pictures > 1 else ""
    remedies = [f"--batch-size {need.largest_batch}"] if need.largest_batch else []
    folder = "with more space" if asked.disk is not None else "for the rest"
    remedies.append(f"name a folder {folder}, {FEATURE_OPTION} disk=FOLDER")
    if asked.host is None:
        remedies.append(f"allow more of the host's memory than by default, {FEATURE_OPTION} host=SIZE")
    if machine.workers not in (None, 1):
        remedies.append("use fewer --workers")
    remedies += [
        "edit smaller pictures (resolution)",
        "let fewer steps or layers share (of feature_sharing: method.inject, first_layer, last_layer)",
    ]
    return (
        f"{need.combination}: keeps {bytes_text(need.bytes_per_picture)} of an inversion's features per "
        f"picture of {size_text(need.size)} ({need.parts_text}){batch}, and may take {need.room}; "
        f"{', or '.join(remedies)}"
    )
