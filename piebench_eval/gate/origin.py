"""What numbers rest on: recipe, samples, networks, protocol; and whether two sets may be compared."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import read_image
from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.tables.about import protocol_of
from piebench_eval.tables.aggregate import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from piebench_eval.data.sample import Sample
    from piebench_eval.tables.score_table import ScoreTable

_SHOWN = 5

ORIGIN_PARTS = {"recipe", "models", "samples", "networks", "protocol", "precision", "versions"}
"""Fields of an origin, as a baseline's JSON file holds them."""


def origin_of(result: Path, source: ScoreTable, data: Path | None = None) -> dict[str, Any]:
    """What a run's scores rest on. Batches, shards, devices, threads and engines are no part of it.

    Args:
        result: a run folder, or a scores file, of which less is known.
        source: its scores.
        data: the benchmark folder, if it is no longer where the run found it; a scores file's pictures are
            known only by this.

    Raises:
        PiebenchError: combinations have scores of different samples, or the benchmark is gone.
    """
    ids = _scored_ids(source.rows)
    about = source.about
    run = RunStore.read(result) if result.is_dir() else None
    manifest = {} if run is None else run.manifest()
    samples: list[Sample] | None = None
    if run is not None:
        _, samples = dataset_of_run(run, data)
    elif data is not None:
        made_for = about.get("mask_size")
        samples = load_pie_bench(data, None if made_for is None else parse_mask_size(str(made_for)))
    plugins: dict[str, str] | None = manifest.get("plugins")
    name, protocol = protocol_of(about)
    sessions = manifest.get("sessions", [])
    return {
        "recipe_hash": about.get("recipe_hash"),
        "recipe": {
            "image_format": about.get("image_format"),
            "plugins": None if plugins is None else sorted(plugins.values()),
            "combinations": about.get("combinations", {}),
        },
        "models": manifest.get("models", {}),
        "samples": {"ids": ids, "fingerprint": None if samples is None else _fingerprint(samples, set(ids))},
        "networks": about.get("networks", {}),
        "protocol": {"name": name, "rules": protocol.model_dump(mode="json")},
        "precision": about.get("precision"),
        "versions": {
            "edits": sessions[-1]["versions"] if sessions else {},
            "scores": about.get("versions", {}),
        },
    }


def differences(baseline: Mapping[str, Any], origin: Mapping[str, Any]) -> list[str]:
    """What stands in the way of a comparison, ``field: baseline's -> today's``; empty if nothing does.

    Combinations that only one side has are no obstacle, nor are fields that one side does not know.
    """
    sides: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name in sorted(_combinations(baseline).keys() & _combinations(origin).keys()):
        for side, settings in zip(sides, _settings(name, baseline, origin), strict=True):
            side[name] = settings
    for side, of_side in zip(sides, (baseline, origin), strict=True):
        recipe = of_side["recipe"]
        fields = {
            "image_format": recipe.get("image_format"),
            "plugins": recipe.get("plugins"),
            "networks": of_side["networks"],
            "protocol": of_side["protocol"]["rules"],
            "precision of the scores": of_side["precision"],
        }
        side |= {field: value for field, value in fields.items() if value is not None}
    return [*_other_samples(baseline["samples"], origin["samples"]), *_changed(*sides)]


def other_versions(baseline: Mapping[str, Any], origin: Mapping[str, Any]) -> list[str]:
    """Libraries that have other versions today: no obstacle, but what to suspect first."""
    return _changed(baseline["versions"], origin["versions"])


def _scored_ids(rows: pd.DataFrame) -> list[str]:
    """The ids of the scored samples, the same for every combination.

    Raises:
        PiebenchError: they are not the same.
    """
    labels = label_columns(rows)
    of_each = {
        combination_name(group.iloc[0], labels): sorted(group["id"]) for _, group in rows.groupby(labels)
    }
    ids = sorted(set(rows["id"]))
    for name, found in of_each.items():
        if found != ids:
            lacking = sorted(set(ids) - set(found))
            wrong = f"lacks {_some(lacking)}" if lacking else "has scores of one id twice"
            raise PiebenchError(
                f"the scores of {name}: column id {wrong}; a baseline needs the same samples for every "
                "combination: finish the run and score it again"
            )
    return ids


def _fingerprint(samples: Iterable[Sample], ids: set[str]) -> str:
    """SHA-256 over annotations and pixels of the scored samples, by id.

    Not over the pictures' bytes: the demo's pictures are drawn anew everywhere, and other versions of zlib
    pack the same pixels into other bytes.
    """
    digest = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: sample.id):
        if sample.id not in ids:
            continue
        texts = (sample.marked_source_prompt, sample.marked_target_prompt, sample.blended_word)
        fields = (sample.id, sample.image_path, *texts, sample.type_id, sample.mask_rle)
        picture = read_image(sample.file)
        digest.update(json.dumps([*fields, picture.shape]).encode())
        digest.update(picture.tobytes())
    return digest.hexdigest()


def _combinations(origin: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    combinations: dict[str, dict[str, Any]] = origin["recipe"]["combinations"]
    return combinations


def _settings(name: str, *origins: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A combination's settings on both sides, the models named so that equal ones have equal names.

    Where both sides know the model's files, these count. Otherwise only the last part of its name does: a
    local copy of a model is as good.
    """
    settings = [_combinations(origin)[name] for origin in origins]
    weights = [_weights(*pair) for pair in zip(settings, origins, strict=True)]
    if all(weights):
        return [
            {**own, "model": f"weights {files[:12]}", "revision": ""}
            for own, files in zip(settings, weights, strict=True)
        ]
    return [{**own, "model": Path(str(own.get("model"))).name} for own in settings]


def _weights(settings: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    model, revision = settings.get("model"), settings.get("revision")
    return str(origin["models"].get(f"{model}@{revision}" if revision else model) or "")


def _other_samples(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if lacking := sorted(set(then["ids"]) - set(now["ids"])):
        yield f"samples: not scored now: {_some(lacking)}"
    if extra := sorted(set(now["ids"]) - set(then["ids"])):
        yield f"samples: not in the baseline: {_some(extra)}"
    prints = [side["fingerprint"] for side in (then, now)]
    if not lacking and not extra and all(prints) and prints[0] != prints[1]:
        yield "samples: other pictures, prompts or masks under the same ids"


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Fields that both sides know and have other values for."""
    old, new = _flat(then), _flat(now)
    return [
        f"{field}: {old[field]} -> {new[field]}" for field in old if field in new and old[field] != new[field]
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
