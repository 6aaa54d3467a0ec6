"""``piebench data``: checking and making benchmark folders."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.api.progress import progress_bar
from piebench_eval.cli.console import out
from piebench_eval.cli.scoring_options import MaskSizeOption
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.progress import TaskID

    from piebench_eval.data.remarks import Remark
    from piebench_eval.data.summary import TypeSummary

app = typer.Typer(help="Get benchmark folders, check them, or draw one.", no_args_is_help=True)


class Dataset(StrEnum):
    """What can be fetched."""

    pie_bench_pp = "pie-bench-pp"


class SourceFormat(StrEnum):
    """Formats that can be converted; the keys of ``piebench_eval.data.convert.convert.FORMATS``."""

    flowedit = "flowedit"
    ti2i = "ti2i"
    coco_mask = "coco-mask"
    csv = "csv"


@app.callback()
def options() -> None:
    """Commands on benchmark folders."""


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(help="Benchmark folder.", show_default=False)],
    mask_size: MaskSizeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Check a benchmark folder: every problem is listed with file, id, field and remedy; exit code 2 if any.

    What is suspicious without being wrong is listed as remarks: prompts that are the same, blended words that
    stand in no prompt, empty and full masks, pictures that occur twice, ...

    Example:

      piebench data validate PIE-Bench_v1

      piebench data validate enlarged --mask-size 512
    """
    from piebench_eval.data.mask_size import parse_mask_size
    from piebench_eval.data.pie_bench import load_pie_bench
    from piebench_eval.data.remarks import remarks_on_data
    from piebench_eval.data.summary import summarise

    samples = load_pie_bench(folder, None if mask_size is None else parse_mask_size(mask_size))
    summaries = summarise(samples)
    remarks = remarks_on_data(samples)
    if as_json:
        types = {sample.id: sample.type_id for sample in samples}
        out.print_json(data=[_with_remarks(summary, remarks, types) for summary in summaries])
        return
    _print_table(summaries)
    out.print(f"{_images(summaries)} samples, no problem found.")
    _print_remark(summaries)
    for remark in remarks:
        out.print(f"remark: {remark}", markup=False)


def _with_remarks(
    summary: TypeSummary, remarks: Sequence[Remark], types: Mapping[str, str]
) -> dict[str, Any]:
    """A type's summary for JSON, with how many of its samples each remark is about."""
    counts = {
        remark.name: count
        for remark in remarks
        if (count := sum(types[sample] == summary.type_id for sample in remark.ids))
    }
    return {**asdict(summary), "remarks": counts}


@app.command("import")
def import_(
    zip_files: Annotated[
        list[Path],
        typer.Option(
            "--zip",
            help="The archive as downloaded. If a drive split the folder into several archives, give each "
            "with its own --zip.",
            show_default=False,
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to make.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Unpack the archive that PIE-Bench's authors hand out, and check all of it.

    The folder appears once it is whole and sound; nothing that the archive says is trusted.

    Examples:

      piebench data import --zip PIE-Bench_v1.zip --out PIE-Bench_v1

      piebench data import --zip PIE-001.zip --zip PIE-002.zip --out PIE-Bench_v1

      piebench data import --zip ~/Downloads/PIE-Bench_v1-20240101.zip --out data/pie --json
    """
    from piebench_eval.data.archive import import_archive

    with _progress() as told:
        summaries = import_archive(zip_files, out_folder, lambda done, total: told("unpacking", done, total))
    if as_json:
        types = [asdict(summary) for summary in summaries]
        out.print_json(data={"folder": str(out_folder), "samples": _images(summaries), "types": types})
        return
    out.print(f"{_images(summaries)} samples in {out_folder}, no problem found.", markup=False)
    _print_remark(summaries)


@app.command()
def fetch(
    dataset: Annotated[Dataset, typer.Argument(help="What to fetch.", show_default=False)],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to make.", show_default=False)],
    revision: Annotated[
        str | None,
        typer.Option(help="Commit, branch or tag of the dataset; the newest by default.", show_default=False),
    ] = None,
) -> None:
    """Fetch PIE-Bench++ from the Hugging Face Hub, as a folder in the official layout.

    PIE-Bench++ needs no form. Its prompts change several things at once, and many masks cover the whole
    picture. Interrupted, the same command goes on with the files that it lacks. SOURCE.json in the folder
    says which commit it is, and under what licence.

    Examples:

      piebench data fetch pie-bench-pp --out PIE-Bench_pp

      piebench data fetch pie-bench-pp --revision main --out PIE-Bench_pp
    """
    from piebench_eval.data.download import LICENCE, REPO_ID, SOURCE_FILE, fetch_pie_bench_pp

    with _progress() as told:
        summaries = fetch_pie_bench_pp(out_folder, told, revision)
    out.print(f"{_images(summaries)} samples in {out_folder}, no problem found.", markup=False)
    out.print(f"{REPO_ID} is under the licence {LICENCE}; {SOURCE_FILE} says more.", markup=False)
    _print_remark(summaries)


@app.command()
def convert(
    source_format: Annotated[
        SourceFormat, typer.Option("--from", help="Which format it is.", show_default=False)
    ],
    source: Annotated[
        Path, typer.Option("--in", help="The format's file, or a folder that holds it.", show_default=False)
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to make.", show_default=False)],
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the paths of pictures and masks start from; by default the file's own, or one "
            "of the two above it.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a benchmark folder of edits that are described in another format; pictures are copied.

    csv: a table that anybody can write, a line for each edit. The first line
    names the columns. Needed: image (a path that starts at the table's folder),
    source_prompt, target_prompt. As wanted: id (by default the picture's name),
    type (0 to 9, or a name such as "change object"), instruction, blended_word,
    mask (the path of a picture, white where the edit may take place; or numbers:
    START LENGTH START LENGTH ...).

    flowedit: a YAML list of input_img, source_prompt and target_prompts (and
    target_codes).

    ti2i: JSON with image_path, original_prompt and editing_prompt, by id or in
    a list.

    coco-mask: the official file, but with masks as COCO writes them, of size and
    counts.

    Examples:

      piebench data convert --from csv --in edits.csv --out my-bench

      piebench data convert --from flowedit --in FlowEdit/edits.yaml --out flowedit-bench

      piebench data convert --from ti2i --in data/mapping_file_ti2i_benchmark.json --out ti2i-bench
    """
    from piebench_eval.data.convert.convert import convert as convert_folder

    with _progress() as told:
        converted = convert_folder(
            source_format.value, source, out_folder, images, lambda done, total: told("reading", done, total)
        )
    summaries = converted.summaries
    if as_json:
        types = [asdict(summary) for summary in summaries]
        about = {"folder": str(out_folder), "samples": _images(summaries), "types": types}
        out.print_json(data={**about, "notes": converted.notes})
        return
    out.print(f"{_images(summaries)} samples in {out_folder}, no problem found.", markup=False)
    for note in converted.notes:
        out.print(note, markup=False)
    _print_remark(summaries)


@app.command()
def demo(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to write.", show_default=False)],
    per_type: Annotated[int, typer.Option(min=1, help="Samples of each of the ten editing types.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Which scenes to draw.")] = 0,
) -> None:
    """Draw a benchmark of simple scenes in the official layout, with the ideal edit of each beside it.

    Example:

      piebench data demo --out demo-bench --per-type 10
    """
    from piebench_eval.data.pie_bench import MAPPING_FILE, load_pie_bench
    from piebench_eval.demo.benchmark import IDEAL_FOLDER, write_benchmark

    if (out_folder / MAPPING_FILE).exists():
        raise PiebenchError(f"--out {out_folder}: holds a benchmark already; name another folder")
    samples = load_pie_bench(write_benchmark(out_folder, per_type, seed))
    out.print(f"{len(samples)} samples in {out_folder}, ideal edits in {IDEAL_FOLDER}/", markup=False)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar that is told what is done now, and how many of how many."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            task = tasks.get(what)
            if task is None:
                task = tasks[what] = bar.add_task(what, total=total)
            bar.update(task, completed=done)

        yield told


def _images(summaries: list[TypeSummary]) -> int:
    return sum(summary.images for summary in summaries)


def _print_table(summaries: list[TypeSummary]) -> None:
    from rich.table import Table

    grid = Table()
    for title in ("type", "images", "mask covers", "full masks", "empty masks"):
        grid.add_column(title, justify="left" if title == "type" else "right")
    for summary in summaries:
        grid.add_row(
            f"{summary.type_id} {summary.name}",
            str(summary.images),
            f"{summary.mean_mask_share:.1%}",
            str(summary.full_masks),
            str(summary.empty_masks),
        )
    out.print(grid)


def _print_remark(summaries: list[TypeSummary]) -> None:
    from piebench_eval.data.summary import full_mask_remark

    full = sum(summary.full_masks for summary in summaries)
    if remark := full_mask_remark(full, _images(summaries)):
        out.print(remark)
