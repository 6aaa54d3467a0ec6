"""The conditions of a measurement (recipe, samples, networks, protocol), and whether two are comparable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import read_image
from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.quirks import quirks_apart
from piebench_eval.recipes.combination import LATER_SETTINGS, with_former_defaults
from piebench_eval.recipes.stored_recipe import flatten
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.session_log import BY_EDITOR
from piebench_eval.tables.provenance import protocol_of
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from piebench_eval.data.sample import Sample
    from piebench_eval.tables.score_table import ScoreTable

_SHOWN = 5

CONDITION_FIELDS = {"recipe", "models", "samples", "networks", "protocol", "precision", "versions"}
"""Fields of conditions, as a baseline's JSON file holds them."""


def conditions_of(result: Path, score_table: ScoreTable, data: Path | None = None) -> dict[str, Any]:
    """The conditions of a run's scores. Batches, shards, devices, threads and engines are not part of them.

    Args:
        result: a run folder, or a scores file, which holds fewer of them.
        score_table: its scores.
        data: the benchmark folder, if it has moved; a scores file's source images are known only by it.

    Raises:
        PiebenchError: combinations have scores of different samples, or the benchmark is gone.
    """
    ids = _scored_ids(score_table.rows)
    provenance = score_table.provenance
    run = RunStore.read(result) if result.is_dir() else None
    manifest = {} if run is None else run.manifest()
    samples: list[Sample] | None = None
    if run is not None:
        _, samples = dataset_of_run(run, data)
    elif data is not None:
        made_for = provenance.get("mask_size")
        samples = load_pie_bench(data, None if made_for is None else parse_mask_size(str(made_for)))
    plugins: dict[str, str] | None = manifest.get("plugins")
    name, protocol = protocol_of(provenance)
    sessions = manifest.get("sessions", [])
    return {
        "recipe_hash": provenance.get("recipe_hash"),
        "recipe": {
            "image_format": provenance.get("image_format"),
            "plugins": None if plugins is None else sorted(plugins.values()),
            "combinations": provenance.get("combinations", {}),
        },
        "models": manifest.get("models", {}),
        "samples": {"ids": ids, "fingerprint": None if samples is None else _fingerprint(samples, set(ids))},
        "networks": provenance.get("networks", {}),
        "protocol": {"name": name, "rules": protocol.model_dump(mode="json")},
        "precision": provenance.get("precision"),
        "versions": {
            "edits": sessions[-1]["versions"] if sessions else {},
            "scores": provenance.get("versions", {}),
        },
    }


def differences(baseline: Mapping[str, Any], conditions: Mapping[str, Any]) -> list[str]:
    """The differences that rule out a comparison, ``field: baseline's -> current``; empty if there are none.

    Combinations and fields that only one side has are ignored.
    """
    sides: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name in sorted(_combinations(baseline).keys() & _combinations(conditions).keys()):
        for side, settings in zip(sides, _settings(name, baseline, conditions), strict=True):
            side[name] = settings
    for side, of_side in zip(sides, (baseline, conditions), strict=True):
        recipe = of_side["recipe"]
        fields = {
            "image_format": recipe.get("image_format"),
            "plugins": recipe.get("plugins"),
            "networks": of_side["networks"],
            "protocol": of_side["protocol"]["rules"],
            "precision of the scores": of_side["precision"],
        }
        side |= {field: value for field, value in fields.items() if value is not None}
    return [*_other_samples(baseline["samples"], conditions["samples"]), *_changed(*sides)]


def other_versions(baseline: Mapping[str, Any], conditions: Mapping[str, Any]) -> list[str]:
    """Libraries whose versions differ: no obstacle, but the first suspects."""
    return _changed(baseline["versions"], conditions["versions"])


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
            wrong = f"lacks {first_few(lacking, _SHOWN)}" if lacking else "has scores of one id twice"
            raise PiebenchError(
                f"the scores of {name}: column id {wrong}; a baseline needs the same samples for every "
                "combination: finish the run and score it again"
            )
    return ids


def _fingerprint(samples: Iterable[Sample], ids: set[str]) -> str:
    """SHA-256 over annotations and pixels of the scored samples, by id.

    Not over the files' bytes: the demo's images are drawn on each machine, and versions of zlib compress the
    same pixels differently.
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


def _combinations(conditions: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    combinations: dict[str, dict[str, Any]] = conditions["recipe"]["combinations"]
    return combinations


def _settings(name: str, *origins: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A combination's settings on both sides, with equal names for equal models.

    If both sides have the hash of the model's files, it is the name. Otherwise it is the last part of the
    model's name, since a local copy is equivalent.
    """
    settings = [
        LATER_SETTINGS | with_former_defaults(quirks_apart(_combinations(conditions)[name]))
        for conditions in origins
    ]
    weights = [_weights(*pair) for pair in zip(settings, origins, strict=True)]
    if all(weights):
        return [
            {**own, "model": f"weights {files[:12]}", "revision": ""}
            for own, files in zip(settings, weights, strict=True)
        ]
    return [{**own, "model": Path(str(own.get("model"))).name} for own in settings]


def _weights(settings: Mapping[str, Any], conditions: Mapping[str, Any]) -> str:
    model, revision = settings.get("model"), settings.get("revision")
    name, models = f"{model}@{revision}" if revision else model, conditions["models"]
    return str(models.get(name) or models.get(f"{name}{BY_EDITOR}") or "")


def _other_samples(baseline: Mapping[str, Any], measured: Mapping[str, Any]) -> Iterator[str]:
    if lacking := sorted(set(baseline["ids"]) - set(measured["ids"])):
        yield f"samples: not scored now: {first_few(lacking, _SHOWN)}"
    if extra := sorted(set(measured["ids"]) - set(baseline["ids"])):
        yield f"samples: not in the baseline: {first_few(extra, _SHOWN)}"
    prints = [side["fingerprint"] for side in (baseline, measured)]
    if not lacking and not extra and all(prints) and prints[0] != prints[1]:
        yield "samples: other pictures, prompts or masks under the same ids"


def _changed(baseline: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """Fields that both sides have and whose values differ."""
    old, new = flatten(baseline), flatten(measured)
    return [
        f"{field}: {old[field]} -> {new[field]}" for field in old if field in new and old[field] != new[field]
    ]
