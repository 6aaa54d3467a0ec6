"""The command line and the Python lines that make the edits which the page shows."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import parts_of_name
from piebench_eval.demo.embedded import DEMO, is_embedded
from piebench_eval.studio.knobs import as_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.studio.setup import Setup


@dataclass(frozen=True)
class Place:
    """Where what is shown can be made once more.

    Attributes:
        data: the folder of the sample's benchmark; None for the embedded benchmark.
        device: see ``resolve_device``.
        allow_pickle: weights may be in pickle files.
        plugins: files that add inversions, methods and editors.
        mask_files: a black and white picture of the sample's mask, for each combination that looks at it.
    """

    data: Path | None = None
    device: str = "auto"
    allow_pickle: bool = False
    plugins: tuple[Path, ...] = ()
    mask_files: Mapping[str, Path] = field(default_factory=dict)


def run_commands(setup: Setup, sample: Sample, place: Place) -> str:
    """The ``piebench run`` lines that edit a sample as a setup does: one line, if one can choose it all.

    The run folder's name goes by what is edited and how: other settings are another run.

    Args:
        setup: what it is edited with.
        sample: the sample.
        place: where it is.
    """
    return "\n".join(_run_command(setup, names, sample, place) for names in _lines(setup))


def _run_command(setup: Setup, names: Sequence[str], sample: Sample, place: Place) -> str:
    model, pairs = setup.model_of(names[0]), [parts_of_name(name) for name in names]
    options = {
        "--inversion": dict.fromkeys(inversion for inversion, _ in pairs if inversion),
        "--method": dict.fromkeys(method for inversion, method in pairs if inversion),
        "--editor": dict.fromkeys(method for inversion, method in pairs if not inversion),
    }
    words = ["--ids", sample.id, *_of_model_and_data(model, place.data)]
    for option, values in options.items():
        words += [option, ",".join(values)] if values else []
    for key, value in {
        key: value for name in names for key, value in setup.settings_of(name).items()
    }.items():
        words += ["--set", f"{key}={as_yaml(value)}"]
    for file in place.plugins:
        words += ["--plugin", str(file.resolve())]
    if place.device != "auto":
        words += ["--device", place.device]
    words += ["--allow-pickle"] if place.allow_pickle else []
    tells_apart = hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]
    return shlex.join(["piebench", "run", *words, "--out", f"runs/studio-{tells_apart}"])


def _of_model_and_data(model: str | None, data: Path | None) -> list[str]:
    """An embedded model brings its benchmark and its recipe; with another benchmark it is asked for both."""
    words = [] if model is None else ["--model", model]
    embedded = model is not None and is_embedded(model)
    if data is None:
        return words if embedded else [*words, "--data", DEMO]
    return [*words, "--data", str(data.resolve()), *(["--config", str(model)] if embedded else [])]


def python_lines(setup: Setup, sample: Sample, place: Place) -> str:
    """The Python lines that edit a sample as a setup does: a call of ``pb.edit`` for each combination.

    Args:
        setup: what it is edited with.
        sample: the sample.
        place: where it is.
    """
    lines = ["import piebench_eval as pb", ""]
    for name in setup.combinations:
        options: dict[str, Any] = setup.arguments(name)
        options |= {
            text: given
            for text in ("blended_word", *([] if "inversion" in options else ["instruction"]))
            if (given := getattr(sample, text))
        }
        if name in place.mask_files:
            options["mask"] = str(place.mask_files[name])
        if settings := setup.settings_of(name):
            options["settings"] = settings
        if place.plugins:
            options["plugins"] = [str(file.resolve()) for file in place.plugins]
        if place.device != "auto":
            options["device"] = place.device
        if place.allow_pickle:
            options["allow_pickle"] = True
        texts = [str(sample.file.resolve()), sample.marked_source_prompt, sample.marked_target_prompt]
        written = [*map(repr, texts), *(f"{key}={value!r}" for key, value in options.items())]
        lines.append(f"pb.edit({', '.join(written)}).save({f'{name}.png'!r})")
    return "\n".join(lines)


def _lines(setup: Setup) -> list[list[str]]:
    """Combinations in groups that are a line each: an editor with a model of its own is one alone."""
    apart = [[name] for name in setup.combinations if name in setup.editor_models]
    return [*_products(name for name in setup.combinations if name not in setup.editor_models), *apart]


def _products(names: Iterable[str]) -> list[list[str]]:
    """Combinations in groups that ``--inversion`` and ``--method`` choose exactly; editors are in the first.

    >>> _products(["ddim+p2p", "direct+p2p", "direct+pnp", "sdedit"])
    [['ddim+p2p', 'sdedit'], ['direct+p2p', 'direct+pnp']]
    """
    names = list(names)
    methods: dict[str, list[str]] = {}
    for inversion, method in map(parts_of_name, names):
        if inversion:
            methods.setdefault(inversion, []).append(method)
    groups: dict[tuple[str, ...], list[str]] = {}
    for inversion, of_inversion in methods.items():
        group = groups.setdefault(tuple(sorted(of_inversion)), [])
        group += [f"{inversion}+{method}" for method in of_inversion]
    editors = [name for name in names if not parts_of_name(name)[0]]
    first, *others = groups.values() or [[]]
    return [group for group in [[*first, *editors], *others] if group]
