"""Whether the configurations of a Stable Diffusion 3 model fit each other, and what the package computes."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from piebench_eval.models.families import Family

_SCHEDULER = "scheduler/scheduler_config.json"

_OTHER_SIGMAS = (
    "shift_terminal",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "invert_sigmas",
    "stochastic_sampling",
)
"""Fields that make other steps of a ``FlowMatchEulerDiscreteScheduler`` than those of its shift."""


def sd3_problems(configs: Mapping[str, Mapping[str, Any]], family: Family) -> Iterator[str]:
    """Everything for which a model cannot be called and sampled as Stable Diffusion 3 is.

    Args:
        configs: by part its configuration.
        family: the family, without T5 where the model goes without.
    """
    yield from _of_transformer(configs["transformer"], sd3_latent_channels(configs, family))
    yield from _of_text(configs, family)
    yield from latent_range_problems(configs["vae"], family)
    scheduler = configs["scheduler"]
    if scheduler.get("use_dynamic_shifting"):
        yield f"{_SCHEDULER} says use_dynamic_shifting True: its sigmas are not those of its shift alone"
    yield from sigma_problems(scheduler)
    yield from shift_problems(scheduler, "it is 3.0 in Stable Diffusion 3")


def latent_range_problems(vae: Mapping[str, Any], family: Family) -> Iterator[str]:
    """Latents that are not shifted and scaled."""
    for field in ("shift_factor", "scaling_factor"):
        if not isinstance(vae.get(field), int | float):
            yield f"vae/config.json has no {field}: its latents are not those of {family.title}"


def sd3_latent_channels(configs: Mapping[str, Mapping[str, Any]], family: Family) -> int:
    """The channels of its latents: those that autoencoder and transformer agree on, or else the family's.

    >>> from piebench_eval.models.families import FAMILIES
    >>> configs = {"vae": {"latent_channels": 4}, "transformer": {"in_channels": 4}}
    >>> sd3_latent_channels(configs, FAMILIES["sd3"])
    4
    """
    channels = configs["vae"].get("latent_channels")
    if channels is None or channels != configs["transformer"].get("in_channels"):
        return family.latent_channels
    return int(channels)


def _of_transformer(transformer: Mapping[str, Any], channels: int) -> Iterator[str]:
    for field, wanted in (("in_channels", channels), ("out_channels", channels), ("patch_size", 2)):
        if (found := transformer.get(field) or wanted) != wanted:
            yield f"transformer/config.json says {field} {found}, not {wanted}: a model of another kind"


def _of_text(configs: Mapping[str, Mapping[str, Any]], family: Family) -> Iterator[str]:
    """Embeddings of other widths than the transformer reads."""
    transformer, files = (
        configs["transformer"],
        " and ".join(f"{name}/config.json" for name in family.projected),
    )
    for field, of_clip, fits in (
        ("pooled_projection_dim", "projection_dim", operator.eq),
        ("joint_attention_dim", "hidden_size", operator.ge),
    ):
        width, widths = transformer.get(field), [configs[name].get(of_clip) for name in family.projected]
        known = [number for number in widths if isinstance(number, int)]
        if width is not None and len(known) == len(widths) and not fits(width, sum(known)):
            yield (
                f"transformer/config.json says {field} {width}, but {files} {of_clip} "
                f"{' and '.join(map(str, known))}: they are not of one model"
            )
    width = transformer.get("joint_attention_dim")
    if width is not None and family.t5 in family.weights:
        of_t5 = configs[family.t5].get("d_model", width)
        if of_t5 != width:
            yield (
                f"transformer/config.json says joint_attention_dim {width}, but {family.t5}/config.json "
                f"d_model {of_t5}: they are not of one model"
            )


def sigma_problems(scheduler: Mapping[str, Any]) -> Iterator[str]:
    """Sigmas that are not those of a shift."""
    if (kind := scheduler.get("_class_name")) != "FlowMatchEulerDiscreteScheduler":
        yield f"{_SCHEDULER} says _class_name {kind}, not FlowMatchEulerDiscreteScheduler"
    if (trained := scheduler.get("num_train_timesteps", 1000)) != 1000:
        yield f"{_SCHEDULER} says num_train_timesteps {trained}, not 1000"
    for field in _OTHER_SIGMAS:
        if scheduler.get(field):
            yield f"{_SCHEDULER} says {field} {scheduler[field]}: its sigmas are not those of its shift alone"


def shift_problems(scheduler: Mapping[str, Any], known: str) -> Iterator[str]:
    """A shift that is none; ``known`` says what it should be."""
    shift = scheduler.get("shift")
    if not isinstance(shift, int | float) or shift <= 0:
        said = "has no shift" if shift is None else f"says shift {shift!r}, which is no positive number"
        yield f"{_SCHEDULER} {said}: {known}"
