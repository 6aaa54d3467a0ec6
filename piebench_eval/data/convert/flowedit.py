"""Read FlowEdit's YAML list of edits: an image, its source prompt and one or more target prompts."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import yaml

from piebench_eval.data.convert.raw_annotations import (
    Entry,
    RawAnnotation,
    RawAnnotations,
    list_entries,
    read_text,
)
from piebench_eval.data.messages import printable
from piebench_eval.errors import PiebenchError

_IMAGE_FIELDS = ("input_img", "init_img")
_WHAT = "a list of entries with input_img, source_prompt and target_prompts"


def read_flowedit(file: Path) -> RawAnnotations:
    """Read a YAML file of entries ``input_img`` (or ``init_img``), ``source_prompt`` and ``target_prompts``.

    Every target prompt is a sample, named after its image and its ``target_codes`` entry, or its number.

    Raises:
        PiebenchError: it is no such list.
    """
    try:
        content = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))
        raise PiebenchError(f"--in {file}: is not valid YAML ({reason}); mend it there") from None
    raw = RawAnnotations(file)
    for place, entry in list_entries(raw, content, _WHAT):
        row = Entry(raw, place, entry)
        field = row.first_of(_IMAGE_FIELDS)
        image, source, targets = row.text(field), row.text("source_prompt"), row.texts("target_prompts")
        codes = row.texts("target_codes") if row.value("target_codes") is not None else []
        if codes and len(codes) != len(targets):
            raw.problem(
                place,
                f'field "target_codes" has {len(codes)} texts for {len(targets)} target prompts; give as '
                "many, or none",
            )
            continue
        names = codes or [str(number) for number in range(1, len(targets) + 1)]
        for name, target in zip(names, targets, strict=True):
            sample_id = raw.free_id(f"{PurePosixPath(image).stem}_{name}")
            prompts = {"original_prompt": source, "editing_prompt": target}
            raw.found.append(RawAnnotation(place, sample_id, image, field, prompts))
    return raw
