"""The configuration of a run: a recipe file, overrides and the benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import DEMO, DEMO_FLOW, is_embedded
from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import NO_MODEL
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.builtin import recipe_file, recipe_names, recipe_of_embedded
from piebench_eval.recipes.named_runs import RUNS_FIELD, named_runs_of_fields
from piebench_eval.recipes.plugins import load_plugins
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields, require_known_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.recipes.sweep import RECIPE_FIELD, RUN_AXIS, axes_of_fields
from piebench_eval.recipes.wildcards import listed_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.recipes.recipe import Recipe


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a run as the user gives it, unchecked.

    Attributes:
        config: the recipe file, or the name of one of the package's.
        data: the benchmark folder, or ``demo``.
        settings: overrides of the recipe's fields, dotted key to value; None empties a field.
        inversions: names to choose; None for those of the recipe.
        methods: likewise.
        plugins: files that add inversions, methods and editors.
        editors: names to choose, in the place of inversions and methods unless these are chosen too; None for
            those of the recipe.
    """

    config: Path | None = None
    data: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    inversions: Sequence[str] | None = None
    methods: Sequence[str] | None = None
    plugins: Sequence[Path] = ()
    editors: Sequence[str] | None = None

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The sweep's axes in the recipe file; the names of its runs, if it names some, are the first.

        Raises:
            PiebenchError: the file cannot be used.
        """
        if self.config is None:
            return {}
        names = {RUN_AXIS: list(self.runs)} if self.runs else {}
        return {**names, **axes_of_fields(self._fields, str(self.config))}

    @cached_property
    def runs(self) -> dict[str, RunConfig]:
        """The configuration of every run that the recipe file names; empty if it names none.

        The settings of this configuration hold in all of them, and come before what the file says.

        Raises:
            PiebenchError: the file cannot be used, or inversions or methods are chosen for all runs.
        """
        if self.config is None or not (named := named_runs_of_fields(self._fields, self._file)):
            return {}
        asked = {"--inversion": self.inversions, "--method": self.methods, "--editor": self.editors}
        for option, chosen in asked.items():
            if chosen is not None:
                raise PiebenchError(
                    f"{option} {','.join(chosen)}: every run of {self.config} has its own; leave {option} "
                    "out, or give the recipe of one run with --config"
                )
        runs = {}
        for name, run in named.items():
            own = replace(self, config=run.recipe, settings={**run.settings, **self.settings})
            _require_single(own, f"{self.config}, run {name}: recipe {run.recipe}")
            runs[name] = own
        return runs

    def build(
        self, swept: Mapping[str, Any] | None = None, known_plugins: Mapping[str, str] | None = None
    ) -> tuple[Recipe, Path | None]:
        """Build the recipe.

        Args:
            swept: the swept keys and their values in one run of a sweep; the name of a run among them.
            known_plugins: SHA-256 of plugin files that a run began with, see ``load_plugins``.

        Returns:
            The recipe, and the benchmark folder; None for the embedded benchmark.

        Raises:
            PiebenchError: something is missing, unknown or does not fit.
        """
        if RUN_AXIS in (swept or {}):
            rest = dict(swept or {})
            return self._run_named(rest.pop(RUN_AXIS)).build(rest, known_plugins)
        if self.runs:
            raise PiebenchError(
                f"{self.config}: names several runs ({', '.join(self.runs)}), which piebench run makes one "
                "after the other; give the recipe of one of them"
            )
        if swept is None and RECIPE_FIELD in self._fields:
            raise PiebenchError(
                f"{self.config}: sweeps {', '.join(self.axes)}, in runs which piebench run makes one after "
                "the other; give a recipe without sweep"
            )
        known = self._fields
        if self.inversions is None and self.methods is None:
            known = known or _fields_of_editors(self.editors, self.plugins)
        fields = {name: value for name, value in known.items() if name != RECIPE_FIELD}
        source = str(self.config) if self.config else "recipe"
        require_known_fields(fields, source)
        overrides = {**self.settings, **(swept or {})}
        data, named = self.data, {**fields, **overrides}.get("model", DEMO)
        if data is None and is_embedded(named):
            data = DEMO
            if "model" not in fields:
                fields = {**read_recipe_fields(recipe_of_embedded(named)), **fields}
        fields = select_combinations(fields, self.inversions, self.methods, source, self.editors)
        # Absolute: the run folder stores the path, and can be opened from another folder.
        brought = (str(file.resolve()) for file in self.plugins)
        fields["plugins"] = [*(fields.get("plugins") or ()), *brought]
        model = overrides.get("model", fields.get("model"))
        if model is None:
            model = _model_of_editors(fields)
            fields["model"] = model
        if model is None:
            raise PiebenchError(
                f"--model is missing: a diffusers directory, CompVis/stable-diffusion-v1-4, or {DEMO} or "
                f"{DEMO_FLOW} for an embedded model"
            )
        if data is None:
            raise PiebenchError("--data is missing: the benchmark folder, or demo for the embedded one")
        if "model" in overrides and _is_folder(model):
            overrides["model"] = str(Path(model).resolve())
        return build_recipe(fields, overrides, source, known_plugins or {}), None if data == DEMO else Path(
            data
        )

    def _run_named(self, name: Any) -> RunConfig:
        """One of the runs.

        Raises:
            PiebenchError: the recipe file names no such run.
        """
        if (run := self.runs.get(str(name))) is None:
            known = f"has no run {name}; it names {', '.join(self.runs)}" if self.runs else "names no runs"
            raise PiebenchError(f"--sweep run: {self.config or 'the recipe'} {known}")
        return run

    @cached_property
    def _file(self) -> Path:
        """The recipe file; only with ``config``."""
        assert self.config is not None
        return _find_recipe(self.config)

    @cached_property
    def _fields(self) -> dict[str, Any]:
        """The fields of the recipe file, read once for all runs of a sweep."""
        return read_recipe_fields(self._file) if self.config else {}


def _require_single(config: RunConfig, source: str) -> None:
    """Refuse the recipe of a named run that is several runs itself.

    Raises:
        PiebenchError: it is, or its file cannot be read.
    """
    try:
        several = [field for field in (RUNS_FIELD, RECIPE_FIELD) if field in config._fields]
    except PiebenchError as error:
        raise PiebenchError(f"{source}: {error}") from None
    if several:
        raise PiebenchError(f"{source}: has {' and '.join(several)} itself; give the recipe of a single run")


def _model_of_editors(fields: Mapping[str, Any]) -> str | None:
    """The model of a recipe of editors alone that names none: the one that all load, or ``NO_MODEL``.

    Raises:
        PiebenchError: no editor has that name, or a plugin cannot be loaded.
    """
    if fields.get("inversions") or not fields.get("editors"):
        return None
    load_plugins(fields.get("plugins"))
    editors = [EDITORS.get(name) for name in listed_names(fields["editors"])]
    models = {editor.model for editor in editors if editor.needs_model}
    if not models:
        return NO_MODEL
    return models.pop() if len(models) == 1 else None


def _fields_of_editors(editors: Sequence[str] | None, plugins: Sequence[Path]) -> dict[str, Any]:
    """The recipe with an editor's published settings, where editors are chosen and no recipe.

    Raises:
        PiebenchError: several editors are chosen that have recipes, or an editor's name is unknown.
    """
    if not editors:
        return {}
    load_plugins([str(file) for file in plugins])
    recipes = {name: recipe for name in editors if (recipe := EDITORS.get(name).recipe) is not None}
    if not recipes:
        return {}
    if len(editors) > 1:
        named = ", ".join(f"{recipe} of {name}" for name, recipe in recipes.items())
        raise PiebenchError(
            f"--editor {','.join(editors)}: these have models and settings of their own ({named}); choose "
            "one at a time, or give a recipe that has all of them with --config"
        )
    return read_recipe_fields(recipe_file(next(iter(recipes.values()))))


def _is_folder(model: Any) -> bool:
    """Whether a model's name is that of a folder; those of embedded models mean these, whatever lies here."""
    return isinstance(model, str) and not is_embedded(model) and Path(model).is_dir()


def _find_recipe(config: Path) -> Path:
    """The file of a recipe, by its path or by the name of one of the package's.

    Raises:
        PiebenchError: there is no such file.
    """
    if config.exists():
        return config
    if str(config) in recipe_names():
        return recipe_file(str(config))
    raise PiebenchError(
        f"--config {config}: no such file; give a recipe's YAML file, or one of the package: "
        f"{', '.join(recipe_names())}"
    )
