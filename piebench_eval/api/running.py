"""Run a recipe from Python."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.api.arguments import editor_names, names
from piebench_eval.api.progress import shown_run
from piebench_eval.diffusion.feature_limits import parse_feature_limits
from piebench_eval.errors import PiebenchWarning
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.runs.execute import execute_run
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run, plan_single_run
from piebench_eval.runs.shard import parse_shard
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.records import EditKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from piebench_eval.data.sample import Sample
    from piebench_eval.editors.function import EditFunction
    from piebench_eval.runs.execute import Progress


def run(
    out: str | Path,
    *,
    data: str | Path | None = None,
    model: str | None = None,
    inversion: str | Sequence[str] | None = None,
    method: str | Sequence[str] | None = None,
    editor: str | Sequence[str] | EditFunction | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
    mask_size: str | None = None,
    types: str | Sequence[str] | None = None,
    ids: str | Sequence[str] | None = None,
    limit: int | None = None,
    subset: str | None = None,
    shard: str | None = None,
    devices: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    cache: str | Path | None = None,
    compile: bool = False,
    checkpointing: bool = False,
    deterministic: bool | None = None,
    offload_text_encoders: bool | None = None,
    sequential_offload: bool = False,
    feature_memory: str | None = None,
    retry_failed: bool = False,
    max_failures: int = 20,
    progress: bool = True,
) -> pd.DataFrame:
    """Edit images: every inversion with every method, and every editor, as ``piebench run`` does.

    Edits are saved batch by batch; after an interrupt, the same call resumes the run. Without ``data``, the
    embedded benchmark is edited, by the model ``demo`` or ``demo-flow``.

    Args:
        out: the run folder; the same one again resumes the run.
        data: benchmark folder, or ``demo``.
        model: diffusers directory or hub id of a model of a family in ``piebench methods``, or ``demo`` or
            ``demo-flow``.
        inversion: names, in a list or separated by commas; None for all of the recipe.
        method: likewise.
        editor: names of editors, likewise, in the place of inversions and methods unless these are named too;
            or a function ``(image, sample)`` -> the edit, both PIL images of one size. The function's name
            becomes the row's, and a run goes on only with the same source code.
        config: a recipe file; or ``paper``, ``table1`` or another recipe of the package.
        settings: overrides of the recipe's fields: ``{"steps": 20, "method.cross_replace_steps": 0.8}``.
        plugins: Python files that add inversions, methods and editors.
        mask_size: side (``512``) or size (``640x480``) of the images that the masks are made for,
            if it is not the images' own; masks are scaled to nearest pixels.
        types: editing types; None for all.
        ids: sample ids; None for all.
        limit: maximum number of samples, in turns over the types.
        subset: a fixed subset in place of these three: ``quick-70`` or ``quick-140``.
        shard: ``0/4``: the first of four parts of the samples; all share one run folder, at the same time or
            one after another. None: the whole run.
        devices: ``auto`` (one), ``all`` (every GPU), or names.
        workers: processes per GPU, or on the CPU. With more than one, or several devices, a script must
            guard its top level by ``if __name__ == "__main__"``, as for any use of multiprocessing.
        batch_size: samples per batch; None fills a GPU's memory, and is 1 on a CPU.
        cache: folder that keeps inversions for other runs.
        compile: compile the UNet's blocks.
        checkpointing: recompute activations in null-text's and StyleDiffusion's backward passes.
        deterministic: the same bits for any number of CPU threads, in fp32; None: for embedded models alone.
        offload_text_encoders: text encoders leave the GPU once prompts are embedded, for the same pictures;
            None: where it has less than 24 GB of memory, or with ``sequential_offload``.
        sequential_offload: a transformer's blocks (Stable Diffusion 3, FLUX.1) are on the GPU only while they
            compute, for the same pictures.
        feature_memory: where features of inversions lie until ``feature_sharing`` reads them, as
            ``device=8GB,host=32GB,disk=/scratch``, any of them; None: a quarter of a GPU's free memory and
            half of the machine's.
        retry_failed: make failed edits again.
        max_failures: stop when more edits have failed.
        progress: show a bar.

    Returns:
        A row per edit of the selected samples: id, type, inversion, method, file, error (empty if it was
        made), and the fields of its record: seconds, model evaluations, memory (bytes), checksum.

    Raises:
        PiebenchError: an argument is missing, unknown or does not fit, or too many edits have failed.
    """
    run_config = RunConfig(
        Path(config) if config is not None else None,
        None if data is None else str(data),
        {**({} if model is None else {"model": model}), **(settings or {})},
        names(inversion),
        names(method),
        [Path(file) for file in plugins],
        editor_names(editor),
    )
    folder = Path(out)
    plan_one = partial(
        plan_run,
        selection=Selection(names(types), names(ids), limit, subset),
        machine=MachineOptions(
            devices=devices,
            workers=workers,
            batch_size=batch_size,
            cache=None if cache is None else Path(cache),
            compile=compile,
            checkpointing=checkpointing,
            deterministic=deterministic,
            offload_text_encoders=offload_text_encoders,
            sequential_offload=sequential_offload,
            feature_memory=parse_feature_limits(feature_memory),
        ),
        shard=None if shard is None else parse_shard(shard),
        retry_failed=retry_failed,
        max_failures=max_failures,
        mask_size=mask_size,
    )
    plan = plan_single_run(run_config, folder, plan_one)
    with shown_run(progress) as update_bar:

        def on_progress(now: Progress) -> None:
            update_bar(replace(now, label=f"editing: {now.label}"))
            if now.warning is not None:
                warnings.warn(now.warning, PiebenchWarning, stacklevel=2)

        execute_run(plan, on_progress)
    return edits_frame(RunStore.read(folder), plan.samples)


def edits_frame(store: RunStore, samples: Sequence[Sample]) -> pd.DataFrame:
    """A row per edit of a run that was made or has failed.

    Args:
        store: the run folder.
        samples: the samples of the edits.
    """
    import pandas as pd

    scan = store.scan(samples)
    rows = []
    for sample in samples:
        for inversion, method in store.recipe.pairs:
            key = EditKey(inversion, method, sample.id)
            record = scan.done.get(key) or scan.failed.get(key)
            if record is None:
                continue
            labels = {"id": sample.id, "type": sample.type_id, "inversion": inversion, "method": method}
            file = str(store.image_file(inversion, method, sample)) if key in scan.done else ""
            rows.append({**labels, "file": file, "error": "", **record})
    return pd.DataFrame(rows)
