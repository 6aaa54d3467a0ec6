"""The command line and the Python lines that make the edits which the page shows."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import yaml

from piebench_eval.combination_names import parts_of_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.studio.setup import Setup


def run_commands(setup: Setup, sample: Sample, data: Path | None, out: str = "runs/studio") -> str:
    """The ``piebench run`` lines that edit a sample as a setup does: one line, if one can choose it all.

    Args:
        setup: what it is edited with.
        sample: the sample.
        data: its benchmark's folder; None for the embedded benchmark.
        out: the run folder; further lines number theirs.
    """
    lines = []
    for place, names in enumerate(_products(setup.combinations)):
        chosen = [parts_of_name(name) for name in names]
        options = {
            "--inversion": dict.fromkeys(inversion for inversion, _ in chosen if inversion),
            "--method": dict.fromkeys(method for inversion, method in chosen if inversion),
            "--editor": dict.fromkeys(method for inversion, method in chosen if not inversion),
        }
        words = ["piebench", "run", *([] if data is None else ["--data", str(data)])]
        words += ["--model", setup.model, "--ids", sample.id]
        for option, values in options.items():
            words += [option, ",".join(values)] if values else []
        settings = {key: value for name in names for key, value in setup.settings_of(name).items()}
        for key, value in settings.items():
            words += ["--set", f"{key}={_as_yaml(value)}"]
        words += ["--out", out if place == 0 else f"{out}-{place + 1}"]
        lines.append(shlex.join(words))
    return "\n".join(lines)


def python_lines(setup: Setup, sample: Sample, mask_file: Path | None = None) -> str:
    """The Python lines that edit a sample as a setup does: a call of ``pb.edit`` for each combination.

    Args:
        setup: what it is edited with.
        sample: the sample.
        mask_file: a black and white picture of the sample's mask, if it has one that editors look at.
    """
    lines = ["import piebench_eval as pb", ""]
    for name in setup.combinations:
        options: dict[str, Any] = {**setup.arguments(name), "model": setup.model}
        for argument in ("blended_word", "instruction"):
            if text := getattr(sample, argument):
                options[argument] = text
        if mask_file is not None:
            options["mask"] = str(mask_file)
        if settings := setup.settings_of(name):
            options["settings"] = settings
        texts = [str(sample.file), sample.source_prompt, sample.target_prompt]
        written = [*map(repr, texts), *(f"{key}={value!r}" for key, value in options.items())]
        lines.append(f"pb.edit({', '.join(written)}).save({f'{name}.png'!r})")
    return "\n".join(lines)


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
    return [[*first, *editors], *others]


def _as_yaml(value: Any) -> str:
    """A value as ``--set`` reads it.

    >>> _as_yaml(0.8), _as_yaml(None), _as_yaml([1, 2]), _as_yaml("x"), _as_yaml("")
    ('0.8', 'null', '[1, 2]', 'x', "''")
    """
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1_000_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
