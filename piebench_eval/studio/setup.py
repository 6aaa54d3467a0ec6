"""What is edited with: a model, combinations and editors, and changed settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piebench_eval.api.editing import edit_recipe
from piebench_eval.combination_names import combination_name, parts_of_name
from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.location import known_family
from piebench_eval.recipes.compatibility import MISFITS
from piebench_eval.recipes.overrides import SECTIONS
from piebench_eval.studio.knobs import Knob, knobs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.recipes.recipe import Recipe

_OF_THE_STUDIO = ("model", "family", "revision", "quirks")
"""Common settings without a control: the studio is started with its model."""


@dataclass(frozen=True)
class Setup:
    """What a picture is edited with.

    Attributes:
        model: diffusers directory, hub id, or an embedded model's name.
        combinations: their names, ``direct+p2p``, and those of editors, ``sdedit``.
        settings: the settings that are not the recipe's, by their names in ``--set``; those of an inversion,
            a method or an editor name it: ``method.p2p.cross_replace_steps``.
    """

    model: str
    combinations: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def settings_of(self, name: str) -> dict[str, Any]:
        """The changed settings that concern one combination."""
        inversion, method = parts_of_name(name)
        own = {
            "inversion": inversion,
            "method": method if inversion else "",
            "editor": "" if inversion else method,
        }
        return {
            key: value
            for key, value in self.settings.items()
            if (section := key.partition(".")[0]) not in SECTIONS or key.split(".")[1] == own[section]
        }

    def arguments(self, name: str) -> dict[str, str]:
        """The arguments of ``pb.edit`` that choose one combination."""
        inversion, method = parts_of_name(name)
        return {"inversion": inversion, "method": method} if inversion else {"editor": method}

    def recipe(self, name: str) -> Recipe:
        """The recipe of one combination.

        Raises:
            PiebenchError: a name is unknown, or a setting does not fit.
        """
        return edit_recipe(**self.arguments(name), model=self.model, settings=self.settings_of(name))


def known_combinations(model: str) -> list[str]:
    """Names of the combinations and editors that go with a model; all, if its family is not known here."""
    family = known_family(model, None)
    pairs = [(inversion, method) for inversion in INVERSIONS.names() for method in METHODS.names()]

    def fits(kind: str, name: str) -> bool:
        return family is None or MISFITS[kind](name, family, family.guidance) is None

    fitting = [
        combination_name(*pair) for pair in pairs if fits("inversion", pair[0]) and fits("method", pair[1])
    ]
    editors = [
        name
        for name in EDITORS.names()
        if EDITORS.get(name).edit_latents is not None and fits("editor", name)
    ]
    return [*fitting, *editors]


def knobs_of_setup(setup: Setup) -> dict[str, list[Knob]]:
    """The controls of a setup by heading: what all share, then each inversion, method and editor once.

    Raises:
        PiebenchError: a combination is unknown.
    """
    plain = Setup(setup.model, setup.combinations)
    found: dict[str, list[Knob]] = {}
    for name in setup.combinations:
        recipe = plain.recipe(name)
        combination = recipe.combination(*parts_of_name(name))
        found.setdefault("all", knobs_of(recipe, "", _no_common_setting(recipe)))
        sections = {
            "inversion": (combination.inversion, combination.inversion_settings),
            "method": ("" if combination.is_editor else combination.method, combination.method_settings),
            "editor": (combination.method if combination.is_editor else "", combination.editor_settings),
        }
        for section, (part, settings) in sections.items():
            if part and (knobs := knobs_of(settings, f"{section}.{part}.")):
                found.setdefault(f"{section} {part}", knobs)
    return found


def _no_common_setting(recipe: Recipe) -> Sequence[str]:
    from piebench_eval.recipes.combination import CommonSettings

    return [*_OF_THE_STUDIO, *(set(type(recipe).model_fields) - set(CommonSettings.model_fields))]


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
