"""Which inversions and methods go with which families of models: asked before any weight is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import KEEPS_SIZE
from piebench_eval.demo.embedded import DEMO_FLOW, DEMO_FLOW_T5_LENGTH
from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.families import length_problems
from piebench_eval.models.location import check_guidance_policy, known_family
from piebench_eval.models.quantization import weights_problems
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.plugins import plugin_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from piebench_eval.methods.base import Method
    from piebench_eval.models.families import Family, GuidancePolicy, Predicts
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.registry import Registry

_ROWS: GuidancePolicy = "classifier_free"
_STEPS_ALONG = {"epsilon": "a diffusion schedule", "velocity": "a flow"}
_PREDICTS = {"epsilon": "noise", "velocity": "a velocity"}
_NEEDS = {
    "classifier_free": "needs unconditional rows (classifier-free guidance)",
    "embedded": "needs a model that takes the guidance scale as an input",
}
_TAKES = {
    "classifier_free": "is guided by unconditional rows",
    "embedded": "takes the guidance scale as an input and has none",
}


def inversion_misfit(name: str, family: Family, policy: GuidancePolicy) -> str | None:
    """Why an inversion does not go with a family of models under a way of guidance; None if it does.

    Raises:
        PiebenchError: no inversion has that name.
    """
    inversion = INVERSIONS.get(name)
    if misfit := _prediction_misfit(name, inversion.predicts, family):
        return misfit
    if inversion.value_texts and not family.value_texts:
        return (
            f"{name} gives cross-attention's values texts of their own, and {family.title} takes one text "
            "for keys and values"
        )
    return _policy_misfit(name, inversion.policies, family, policy)


def method_misfit(name: str, family: Family, policy: GuidancePolicy) -> str | None:
    """Why a method does not go with a family of models under a way of guidance; None if it does.

    Raises:
        PiebenchError: no method has that name.
    """
    method = METHODS.get(name)
    misfits = [_prediction_misfit(name, method.predicts, family), _attention_misfit(name, method, family)]
    if family.predicts == "velocity":
        misfits.reverse()  # what sets a model of a flow apart is, before that, that it is a transformer
    if told := next(filter(None, misfits), None):
        return told
    return _policy_misfit(name, method.policies, family, policy)


def pair_misfit(inversion: str, method: str, family: Family, policy: GuidancePolicy) -> str | None:
    """Why an inversion with a method does not go with a family under a way of guidance; None if it does.

    Raises:
        PiebenchError: no inversion or method has that name.
    """
    return (
        inversion_misfit(inversion, family, policy)
        or method_misfit(method, family, policy)
        or _misfit_of_both(inversion, method)
    )


def policy_of_pair(inversion: str, method: str, family: Family) -> GuidancePolicy | None:
    """The way of guidance under which a pair goes with a family: its own, or unconditional rows, or none."""
    policies: tuple[GuidancePolicy, ...] = (family.guidance, _ROWS)
    goes = (policy for policy in policies if pair_misfit(inversion, method, family, policy) is None)
    return next(goes, None)


def _misfit_of_both(inversion: str, method: str) -> str | None:
    """Why an inversion and a method do not go together, whatever the family."""
    if METHODS.get(method).moves_latents and INVERSIONS.get(inversion).coupled:
        return (
            f"{method} moves the latents where they are evaluated, and {inversion} steps each of two latents "
            "by the noise at the other, which its steps would not undo"
        )
    if not METHODS.get(method).reads_inversion or INVERSIONS.get(inversion).keeps_features:
        return None
    return f"{method} reads what an inversion computes on its way, and {inversion} keeps nothing of that"


def _attention_misfit(name: str, method: Method, family: Family) -> str | None:
    if method.takes_part_in(family.attention):
        return None
    read = ", or ".join(f"{'- and '.join(kinds)}-attention" for kinds in method.attention)
    had = "- and ".join(family.attention)
    return f"{name} controls {read}, and {family.title} has {had}-attention"


def _prediction_misfit(name: str, predicts: tuple[Predicts, ...], family: Family) -> str | None:
    if family.predicts in predicts:
        return None
    along = " or ".join(_STEPS_ALONG[kind] for kind in predicts)
    return f"{name} steps along {along}, and {family.title} predicts {_PREDICTS[family.predicts]}"


def _policy_misfit(
    name: str, policies: tuple[GuidancePolicy, ...], family: Family, policy: GuidancePolicy
) -> str | None:
    if policy in policies:
        return None
    return f"{name} {' or '.join(_NEEDS[known] for known in policies)}, and {family.title} {_TAKES[policy]}"


def require_compatible(combinations: Iterable[Combination], loaded: Family | None = None) -> None:
    """Refuse combinations that do not go with their models.

    Args:
        combinations: of a recipe.
        loaded: the family of their model, where it is loaded. Otherwise it is looked up, and a combination
            whose model is not on this machine passes.

    Raises:
        PiebenchError: names every combination that does not fit, with the reasons and remedies.
    """
    look_up = cache(known_family)
    refused: dict[str, list[str]] = {}
    for combination in combinations:
        common = combination.common
        of_package = not combination.is_editor or EDITORS.get(combination.method).edit is None
        family = (loaded or look_up(common.model, common.revision, common.family)) if of_package else None
        reasons = [
            *_sizes_of_pictures_that_keep_theirs(common),
            *(misfits(combination, family) if family is not None else []),
        ]
        for reason in reasons:
            refused.setdefault(reason, []).append(combination.name)
        if of_package and not reasons:
            check_guidance_policy(
                common.model,
                common.guidance_policy,
                common.revision,
                common.family,
                _scales(combination),
                common.embedded_guidance,
            )
    if refused:
        raise PiebenchError("\n".join(f"{', '.join(names)}: {why}" for why, names in refused.items()))


def _scales(combination: Combination) -> list[float]:
    """The guidance scales of both branches and, where it has one of its own, of the inversion."""
    common, of_inversion = combination.common, getattr(combination.inversion_settings, "guidance", None)
    scales = [common.guidance, common.source_guidance, of_inversion]
    return [scale for scale in scales if scale is not None]


def cautions(combinations: Iterable[Combination]) -> list[str]:
    """Scales and negative prompts that inversions and methods run with, but are not published with.

    Each line names its combinations, what their settings mean, and the remedy: for warnings.
    """
    found: dict[str, list[str]] = {}
    combinations = list(combinations)
    alone = all(combination.loads_itself for combination in combinations)
    for combination in combinations:
        if combination.is_editor:
            if alone and (unread := _unread_by_editor(combination)):
                found.setdefault(unread, []).append(combination.name)
            continue
        guidance = combination.common.guidance
        source = combination.common.source_guidance
        scales = guidance, guidance if source is None else source
        parts = INVERSIONS.get(combination.inversion), METHODS.get(combination.method)
        told = [part.caution(*scales) for part in parts if part.caution is not None]
        for caution in filter(None, [*told, _negative_prompt_caution(combination)]):
            found.setdefault(caution, []).append(combination.name)
    return [f"{', '.join(names)}: {caution}" for caution, names in found.items()]


OF_PACKAGE_MODELS = (
    "family",
    "clip_length",
    "t5_length",
    "steps_offset",
    "set_alpha_to_one",
    "timesteps",
    "guidance_policy",
    "embedded_guidance",
    "posterior",
    "grey_levels",
    "quirks",
)
"""Common settings that only the package's own models and loop read."""


def _unread_by_editor(combination: Combination) -> str | None:
    """Settings of a recipe that an editor which loads its own model does not read."""
    defaults = CommonSettings(model="")
    named = [
        name for name in OF_PACKAGE_MODELS if getattr(combination.common, name) != getattr(defaults, name)
    ]
    if not named:
        return None
    return f"{', '.join(named)}: has no effect, since the editor loads and calls its own model; leave it out"


def _negative_prompt_caution(combination: Combination) -> str | None:
    """A target that is guided away from another prompt than an inversion's authors guide it from."""
    wanted = INVERSIONS.get(combination.inversion).negative_prompt
    given = getattr(combination.method_settings, "negative_prompt", wanted)
    common = combination.common
    if wanted is None or given == wanted or common.guidance == 1:
        return None
    family = known_family(common.model, common.revision, common.family)
    policy = common.guidance_policy if family is None else common.policy_of(family)
    if policy == "embedded":  # then no prompt is negative, and another one would be refused
        return None
    return (
        f"method.negative_prompt={given}: the target is guided away from another prompt than in the code of "
        f"{combination.inversion}'s authors; --set method.negative_prompt={wanted}"
    )


def _sizes_of_pictures_that_keep_theirs(common: CommonSettings) -> list[str]:
    """Sizes that a recipe asks for beside a loader that resizes nothing, each with its remedy."""
    if common.image_loader != KEEPS_SIZE:
        return []
    return [
        f"{name}={value} has no effect, since image_loader={KEEPS_SIZE} edits and saves pictures in their "
        "own size; leave it empty, or use image_loader=shorter_side"
        for name in ("resolution", "output_resolution")
        if (value := getattr(common, name)) is not None
    ]


def misfits(combination: Combination, family: Family) -> list[str]:
    """Everything for which a combination does not go with a family of models, each with its remedy."""
    if combination.is_editor:
        return [*_editor_misfits(combination, family), *_settings_misfits(combination.common, family)]
    policy = combination.common.policy_of(family)
    found = _misfits_of_names(combination.inversion, combination.method, family, policy)
    method = METHODS.get(combination.method)
    if method.takes_part_in(family.attention):
        problem = method.family_problem(combination.method_settings, family)
        found += [] if problem is None else [problem]
    steps, settings = combination.common.steps, combination.inversion_settings
    if (problem := INVERSIONS.get(combination.inversion).problem(steps, settings)) is not None:
        found.append(problem)
    if policy == "embedded" and getattr(combination.method_settings, "negative_prompt", "") == "source":
        found.append(
            f"method.negative_prompt=source: {family.title} {_TAKES[policy]}, so that nothing is guided away "
            "from it; set guidance_policy=classifier_free, or leave it at empty"
        )
    if INVERSIONS.is_own(combination.inversion):  # a plugin's settings of these names are its own
        found += _inversion_settings_misfits(combination, family)
    return [*found, *_settings_misfits(combination.common, family)]


def _inversion_settings_misfits(combination: Combination, family: Family) -> list[str]:
    """Settings of an inversion that do not go with a family that it goes with, or with the method's."""
    settings, found = combination.inversion_settings, []
    solver = getattr(settings, "solver", "euler")
    if solver != "euler" and family.predicts == "epsilon":
        found.append(f"inversion.solver={solver}: {family.title} is stepped by DDIM; leave it at euler")
    if family.predicts != "epsilon":
        predicts = f"{family.title} predicts {_PREDICTS[family.predicts]}"
        if rounds := getattr(settings, "regularisation_rounds", 0):
            found.append(
                f"inversion.regularisation_rounds={rounds}: regularises noise, and {predicts}; leave it at 0"
            )
        if (levels := getattr(settings, "noise_levels", "sampling")) != "sampling":
            found.append(
                f"inversion.noise_levels={levels}: are of a diffusion schedule, and {predicts}; leave it at "
                "sampling"
            )
    blends = getattr(combination.method_settings, "local_blend", False)
    if blends and getattr(settings, "source_latents", None) == "edited":
        found.append(
            "method.local_blend=true: blends with the source, and inversion.source_latents=edited gives it "
            "no latents of its own; set method.local_blend=false, or inversion.source_latents=inverted"
        )
    return found


def editor_misfit(name: str, family: Family, policy: GuidancePolicy) -> str | None:
    """Why an editor does not go with a family of models; None if it does, or loads its model itself.

    Under any way of guidance.

    Raises:
        PiebenchError: no editor has that name.
    """
    editor = EDITORS.get(name)
    return None if editor.edit is not None else _prediction_misfit(name, editor.predicts, family)


MISFITS: dict[str, Callable[[str, Family, GuidancePolicy], str | None]] = {
    "inversion": inversion_misfit,
    "method": method_misfit,
    "editor": editor_misfit,
}
"""Why an entry of a registry does not go with a family under a way of guidance, by kind."""


def _editor_misfits(combination: Combination, family: Family) -> list[str]:
    """Why an editor does not go with a family of models, with the remedy."""
    misfit = editor_misfit(combination.method, family, family.guidance)
    return [] if misfit is None else [f"{misfit}; use a model of another family, see piebench methods"]


def require_fitting_editors(combinations: Iterable[Combination]) -> None:
    """Refuse editors whose settings do not fit.

    Raises:
        PiebenchError: names every such editor, with the reason and the remedy; or a plugin failed.
    """
    problems = []
    for combination in combinations:
        if not combination.is_editor:
            continue
        editor = EDITORS.get(combination.method)
        with plugin_errors("", combination.method):
            problem = editor.settings_problem(combination.editor_settings, combination.common)
        if problem is not None:
            problems.append(f"{combination.name}: {problem}")
    if problems:
        raise PiebenchError("\n".join(problems))


def _misfits_of_names(inversion: str, method: str, family: Family, policy: GuidancePolicy) -> list[str]:
    """Why an inversion, a method or both do not go with a family, each with the remedy."""
    of_inversion = inversion_misfit(inversion, family, policy)
    of_method = method_misfit(method, family, policy)
    if of_inversion is None and of_method is None:
        of_inversion = _misfit_of_both(inversion, method)
    found = []
    if of_inversion is not None:
        remedy = _Remedy(INVERSIONS, inversion_misfit, family, policy)
        # Where another method is needed as well, this one decides nothing.
        beside = None if of_method else method
        found.append(
            f"{of_inversion}; {remedy(inversion, beside, lambda name: _misfit_of_both(name, method))}"
        )
    if of_method is not None:
        remedy = _Remedy(METHODS, method_misfit, family, policy)
        beside = None if of_inversion else inversion
        found.append(f"{of_method}; {remedy(method, beside, lambda name: _misfit_of_both(inversion, name))}")
    return found


@dataclass(frozen=True)
class _Remedy:
    """What an inversion or a method can be replaced by that does not go with a family."""

    registry: Registry[Any]
    misfit: Callable[[str, Family, GuidancePolicy], str | None]
    family: Family
    policy: GuidancePolicy

    def __call__(self, refused: str, beside: str | None, clash: Callable[[str], str | None]) -> str:
        """The remedy in words.

        Args:
            refused: the name that does not go.
            beside: the method or inversion beside it, which stays; None if that is to be replaced too.
            clash: why a name does not go with that one, whatever the family.
        """
        own = filter(self.registry.is_own, self.registry.names())
        alone = [name for name in own if self._goes(name, self.policy)]
        names = [name for name in alone if beside is None or clash(name) is None]
        remedies = []
        if names:
            *others, last = names
            listed = f"{', '.join(others)} or {last}" if others else last
            remedies.append(f"use {listed}" + (f" with {beside}" if names != alone else ""))
        if self._goes(refused, _ROWS) and (beside is None or clash(refused) is None):
            remedies.append(f"set guidance_policy={_ROWS}")
        return ", or ".join(remedies) or "use a model of another family, see piebench methods"

    def _goes(self, name: str, policy: GuidancePolicy) -> bool:
        return self.misfit(name, self.family, policy) is None


def _settings_misfits(common: CommonSettings, family: Family) -> list[str]:
    """Settings that a family's schedule or way of guidance has no use for."""
    found = []
    if common.guidance_policy == "embedded" != family.guidance:
        found.append(
            f"guidance_policy=embedded: {family.title} does not take the guidance scale as an input; "
            "leave it at auto"
        )
    if common.embedded_guidance is not None and (
        family.guidance != "embedded" or common.policy_of(family) == "embedded"
    ):
        found.append(
            f"embedded_guidance={common.embedded_guidance:g}: is for models that take a guidance scale as an "
            "input beside guidance_policy=classifier_free; leave it out"
        )
    if common.quirks.added_shift and not family.latent_shift:
        found.append(
            f"quirks.added_shift=true has no effect, since {family.title}'s autoencoder has no shift; leave "
            "it at false"
        )
    unused: tuple[str, ...] = ()
    if family.predicts == "velocity":
        unused = ("steps_offset", "set_alpha_to_one", "timesteps")
    elif family.schedule == "lcm":
        unused = ("steps_offset", "set_alpha_to_one")
    for name in unused:
        value, default = getattr(common, name), CommonSettings.model_fields[name].default
        if value != default:
            found.append(
                f"{name}={value} has no effect, since {family.title} has timesteps of its own; "
                f"{'leave it out' if default is None else f'leave it at {default}'}"
            )
    if family.most_steps is not None and common.timesteps is None and common.steps > family.most_steps:
        found.append(
            f"steps={common.steps}: {family.title} has {family.most_steps} timesteps; use "
            f"{family.most_steps} steps or fewer"
        )
    if common.model == DEMO_FLOW and common.t5_length != DEMO_FLOW_T5_LENGTH:
        found.append(
            f"t5_length={'null' if common.t5_length is None else common.t5_length}: {DEMO_FLOW} was trained "
            f"with {DEMO_FLOW_T5_LENGTH}; --set t5_length={DEMO_FLOW_T5_LENGTH}, or --config {DEMO_FLOW}"
        )
    return [
        *found,
        *length_problems(family, common.clip_length, common.t5_length),
        *weights_problems(family, common.weights),
    ]
