"""What is edited with: a model, combinations and editors, and changed settings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from piebench_eval.api.editing import edit_recipe
from piebench_eval.combination_names import combination_name, parts_of_name
from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.location import known_family
from piebench_eval.recipes.combination import flat_quirks
from piebench_eval.recipes.compatibility import OF_PACKAGE_MODELS, editor_misfit, pair_misfit
from piebench_eval.recipes.overrides import SECTIONS
from piebench_eval.studio.knobs import Knob, knobs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from piebench_eval.recipes.combination import Combination
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.settings import Settings

_NO_CONTROL = ("model", "family", "revision", "quirks")
"""Common settings without a control: the studio is started with its model, and quirks have their own."""

_OF_EDITORS_PROMPT = ("prompt_from",)
"""Common settings that only editors read which are prompted by an instruction."""

_OF_EDITOR = "/"
"""Between an editor and a common setting that is its alone: ``instruct_pix2pix/steps``. In no name."""


@dataclass(frozen=True)
class Setup:
    """What a picture is edited with.

    Attributes:
        model: diffusers directory, hub id, or an embedded model's name.
        combinations: their names, ``direct+p2p``, and those of editors, ``sdedit``.
        settings: the settings that are not the recipe's, by their names in ``--set``; those of an inversion,
            a method or an editor name it: ``method.p2p.cross_replace_steps``. Editors that load a model of
            their own have their own common settings too, which also name them: ``instruct_pix2pix/steps``.
        editor_models: the models of such editors, by name; None where one loads none.
    """

    model: str
    combinations: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    editor_models: Mapping[str, str | None] = field(default_factory=dict)

    def settings_of(self, name: str) -> dict[str, Any]:
        """The changed settings that concern one combination, by their names in ``--set``."""
        inversion, method = parts_of_name(name)
        own = {
            "inversion": inversion,
            "method": method if inversion else "",
            "editor": "" if inversion else method,
        }
        found = {}
        for key, value in self.settings.items():
            section, *names = key.split(".")
            editor, is_editors, common = key.partition(_OF_EDITOR)
            if is_editors:
                if editor == name:
                    found[common] = value
            elif (names[:1] == [own[section]]) if section in SECTIONS else name not in self.editor_models:
                found[key] = value
        return found

    def model_of(self, name: str) -> str | None:
        """The model of one combination; None of an editor that loads none."""
        return self.editor_models.get(name, self.model)

    def arguments(self, name: str) -> dict[str, str]:
        """The arguments of ``pb.edit`` that choose one combination and its model."""
        inversion, method = parts_of_name(name)
        chosen = {"inversion": inversion, "method": method} if inversion else {"editor": method}
        model = self.model_of(name)
        return chosen if model is None else {**chosen, "model": model}

    def recipe(self, name: str) -> Recipe:
        """The recipe of one combination.

        Raises:
            PiebenchError: a name is unknown, or a setting does not fit.
        """
        return edit_recipe(**self.arguments(name), settings=self.settings_of(name))


def known_combinations(model: str, editor_models: Collection[str] = ()) -> list[str]:
    """Names of the combinations and editors that go with a model; all, if its family is not known here.

    Args:
        model: diffusers directory, hub id, or an embedded model's name.
        editor_models: names of the editors that load their own.
    """
    family = known_family(model, None)
    pairs = [(inversion, method) for inversion in INVERSIONS.names() for method in METHODS.names()]

    def fits(misfit: Callable[..., str | None], *names: str) -> bool:
        return family is None or misfit(*names, family, family.guidance) is None

    fitting = [combination_name(*pair) for pair in pairs if fits(pair_misfit, *pair)]
    editors = [
        name
        for name in EDITORS.names()
        if name in editor_models or (EDITORS.get(name).edit_latents is not None and fits(editor_misfit, name))
    ]
    return [*fitting, *editors]


def knobs_of_setup(setup: Setup) -> dict[str, list[Knob]]:
    """The controls of a setup by heading: what all share, then each inversion, method and editor once.

    Below an editor that loads its own model are its common settings too. Left out are the model, which the
    studio is started with, and settings that what is chosen does not read.

    Raises:
        PiebenchError: a combination is unknown.
    """
    plain = replace(setup, settings={})
    chosen = [plain.recipe(name).combination(*parts_of_name(name)) for name in setup.combinations]
    of_model = [one for one in chosen if one.name not in setup.editor_models]
    found: dict[str, list[Knob]] = {}
    if of_model:
        found["all"] = _common_knobs(of_model)
    for one in chosen:
        for section, part, settings in _sections(one):
            own = knobs_of(settings, f"{section}.{part}.")
            if one.name in setup.editor_models:
                own += knobs_of(one.common, f"{part}{_OF_EDITOR}", _unread_by_editor(part))
            if own:
                found.setdefault(f"{section} {part}", own)
    if of_model and (quirks := _quirks_of(of_model)):
        found["quirks"] = quirks
    return found


def _sections(one: Combination) -> list[tuple[str, str, Settings]]:
    if one.is_editor:
        return [("editor", one.method, one.editor_settings)]
    return [
        ("inversion", one.inversion, one.inversion_settings),
        ("method", one.method, one.method_settings),
    ]


def _common_knobs(chosen: Sequence[Combination]) -> list[Knob]:
    """The controls of what combinations share, which show the values of the first.

    One in which the recipe has others for others says so.
    """
    refused = _refused_by_family(chosen[0].common.model)
    without = (*_NO_CONTROL, *_OF_EDITORS_PROMPT, *refused)
    first, *others = (knobs_of(one.common, "", without) for one in chosen)
    found = []
    for place, knob in enumerate(first):
        own = {one.name: knobs[place].default for one, knobs in zip(chosen[1:], others, strict=True)}
        differing = [f"{value} in {name}" for name, value in own.items() if value != knob.default]
        if differing:
            about = f"{knob.description}; now {', '.join(differing)}: once it is moved, it holds for all"
            knob = replace(knob, description=about, is_mixed=True)
        found.append(knob)
    return found


def _refused_by_family(model: str) -> list[str]:
    """Common settings that the model's family has no use for; none if it is not known here."""
    if (family := known_family(model, None)) is None:
        return []

    refused = [] if family.t5_length else ["clip_length", "t5_length"]
    return refused if family.has_transformer else [*refused, "weights"]


def _quirks_of(chosen: Sequence[Combination]) -> list[Knob]:
    """The controls of the quirks that any of the combinations reads."""
    read: set[str] = set()
    for one in chosen:
        read |= set(flat_quirks(dict(one.common.quirks), one.inversion, one.method))
    knobs = knobs_of(chosen[0].common.quirks, "quirks.")
    return [knob for knob in knobs if knob.name in read]


def _unread_by_editor(name: str) -> list[str]:
    """Common settings without a control below an editor that loads its own model."""
    told = EDITORS.get(name).prompted_by
    of_prompt = () if told in ("instruction", "both", "not declared") else _OF_EDITORS_PROMPT
    return [*_NO_CONTROL, *OF_PACKAGE_MODELS, "weights", *of_prompt]


def require_combinations(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The chosen combinations.

    Raises:
        PiebenchError: none is chosen, or one does not go with the model.
    """
    if not names:
        raise PiebenchError("choose at least one combination or editor")
    if unknown := [name for name in names if name not in known]:
        raise PiebenchError(f"{', '.join(unknown)}: does not go with this model; choose others")
    return tuple(names)
