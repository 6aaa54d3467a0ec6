"""``piebench data``: validate, import, download, convert and draw benchmark folders."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.api.progress import shown_progress
from piebench_eval.cli.console import out
from piebench_eval.cli.scoring_options import MaskSizeOption
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.data.remarks import Remark
    from piebench_eval.data.summary import TypeSummary

app = typer.Typer(help="Validate, import, download, convert or draw benchmark folders.", no_args_is_help=True)


class Dataset(StrEnum):
    """Datasets that can be downloaded."""

    pie_bench_pp = "pie-bench-pp"


class SourceFormat(StrEnum):
    """Formats that can be converted; the keys of ``piebench_eval.data.convert.benchmark.FORMATS``."""

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
    """Check a benchmark folder: lists every problem with file, id, field and remedy; exit code 2 if any.

    Suspicious samples are listed as remarks: equal prompts, blended words that are in no prompt, empty and
    full masks, duplicate pictures, ...

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
    """The summary of an editing type for JSON, with the number of its samples that each remark applies to."""
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
            help="The downloaded archive. If a drive split the folder into several archives, give each "
            "with its own --zip.",
            show_default=False,
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to create.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Unpack the archive of PIE-Bench's authors and check its content.

    The folder is created only if it is complete and valid. Archives with unsafe entries (links, absolute or
    parent paths, too large) are refused.

    Examples:

      piebench data import --zip PIE-Bench_v1.zip --out PIE-Bench_v1

      piebench data import --zip PIE-001.zip --zip PIE-002.zip --out PIE-Bench_v1

      piebench data import --zip ~/Downloads/PIE-Bench_v1-20240101.zip --out data/pie --json
    """
    from piebench_eval.data.archive import import_archive

    with shown_progress() as report:
        summaries = import_archive(
            zip_files, out_folder, lambda done, total: report("unpacking", done, total)
        )
    if as_json:
        types = [asdict(summary) for summary in summaries]
        out.print_json(data={"folder": str(out_folder), "samples": _images(summaries), "types": types})
        return
    out.print(f"{_images(summaries)} samples in {out_folder}, no problem found.", markup=False)
    _print_remark(summaries)


@app.command()
def fetch(
    dataset: Annotated[Dataset, typer.Argument(help="Dataset to download.", show_default=False)],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to create.", show_default=False)],
    revision: Annotated[
        str | None,
        typer.Option(help="Commit, branch or tag of the dataset; the newest by default.", show_default=False),
    ] = None,
) -> None:
    """Download PIE-Bench++ from the Hugging Face Hub as a folder in PIE-Bench's layout.

    PIE-Bench++ needs no form. Its prompts change several things at once, and many masks cover the whole
    picture. After an interruption, the same command downloads the missing files. SOURCE.json in the folder
    records the commit and the licence.

    Examples:

      piebench data fetch pie-bench-pp --out PIE-Bench_pp

      piebench data fetch pie-bench-pp --revision main --out PIE-Bench_pp
    """
    from piebench_eval.data.download import LICENCE, REPO_ID, SOURCE_FILE, fetch_pie_bench_pp

    with shown_progress() as report:
        summaries = fetch_pie_bench_pp(out_folder, report, revision)
    out.print(f"{_images(summaries)} samples in {out_folder}, no problem found.", markup=False)
    out.print(f"{REPO_ID} is under the licence {LICENCE}; {SOURCE_FILE} says more.", markup=False)
    _print_remark(summaries)


@app.command()
def convert(
    source_format: Annotated[SourceFormat, typer.Option("--from", help="Input format.", show_default=False)],
    source: Annotated[
        Path, typer.Option("--in", help="Input file, or a folder that contains it.", show_default=False)
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to create.", show_default=False)],
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder that image and mask paths are relative to; by default that of the file, or one of "
            "the two above it.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Convert edits in another format to a benchmark folder; images are copied.

    csv: a table with a line for each edit. The first line names the columns.
    Required: image (a path relative to the table's folder), source_prompt,
    target_prompt. Optional: id (by default the image's name), type (0 to 9, or
    a name such as "change object"), instruction, blended_word, mask (the path of
    an image, white where the edit may take place; or numbers: START LENGTH
    START LENGTH ...).

    flowedit: a YAML list of input_img, source_prompt and target_prompts (and
    target_codes).

    ti2i: JSON with image_path, original_prompt and editing_prompt, by id or in
    a list.

    coco-mask: PIE-Bench's mapping file, but with masks in COCO's format (size
    and counts).

    Examples:

      piebench data convert --from csv --in edits.csv --out my-bench

      piebench data convert --from flowedit --in FlowEdit/edits.yaml --out flowedit-bench

      piebench data convert --from ti2i --in data/mapping_file_ti2i_benchmark.json --out ti2i-bench
    """
    from piebench_eval.data.convert.benchmark import convert_benchmark

    with shown_progress() as report:
        converted = convert_benchmark(
            source_format.value,
            source,
            out_folder,
            images,
            lambda done, total: report("reading", done, total),
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
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to create.", show_default=False)],
    per_type: Annotated[int, typer.Option(min=1, help="Samples of each of the ten editing types.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random scenes.")] = 0,
) -> None:
    """Draw a benchmark of simple scenes in PIE-Bench's layout, with the ideal edit of each.

    Example:

      piebench data demo --out demo-bench --per-type 10
    """
    from piebench_eval.data.pie_bench import MAPPING_FILE, load_pie_bench
    from piebench_eval.demo.benchmark import IDEAL_FOLDER, write_benchmark

    if (out_folder / MAPPING_FILE).exists():
        raise PiebenchError(f"--out {out_folder}: holds a benchmark already; name another folder")
    samples = load_pie_bench(write_benchmark(out_folder, per_type, seed))
    out.print(f"{len(samples)} samples in {out_folder}, ideal edits in {IDEAL_FOLDER}/", markup=False)


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
