"""Check piebench-eval on a GPU, in one command of less than ten minutes, without a network.

    python scripts/gpu_check.py --out results/bench/gpu-check
    python scripts/gpu_check.py --device cpu --quick        # tries the script itself, without a GPU

Checks, each in a separate process with a time limit: the device and the libraries; edits in float32 against
recordings made on a CPU; speed, memory and FLOP/s at the sizes of Stable Diffusion 1 and 3 and of FLUX.1,
with the hours of Table 1 and of flow-table; models of every family, editors and pipelines; what bf16 and fp16
change in the metrics; steps that wait for the GPU, saving, two processes on one GPU, running out of memory;
--compile; bf16, fp16 and batches against float32 and single pictures; ways to run a UNet's plain calls. What
the time is too short for is not run, and said to be. The files gpu-check.md and gpu-check.json are written
anew whenever a part has ended. Exit code 0: nothing went wrong; 1: something did, or was not come to; 2: a
requirement is missing.
"""

import argparse
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # to run from a clone that is not installed

from scripts.gpu.report import Report
from scripts.gpu.requirements import look_for, requirements
from scripts.gpu.section import Result, Section, run_section

SECONDS = 570.0
_TOO_FEW_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu (default: cuda:0)")
    parser.add_argument("--quick", action="store_true", help="time a small model: not what a GPU is for")
    parser.add_argument("--only", help="sections, with commas between them (default: all)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of all (default: %(default).0f)")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    missing, older = look_for(requirements())
    if missing:
        print(
            f"missing: {', '.join(missing)}",
            "install with: pip install -e . pytest",
            sep="\n",
            file=sys.stderr,
        )
        return 2
    from scripts.gpu.plan import plan

    sections = plan(options.device, options.quick)
    if options.only:
        chosen = options.only.split(",")
        if unknown := set(chosen) - {section.name for section in sections}:
            parser.error(
                f"--only {', '.join(sorted(unknown))}: choose from {', '.join(s.name for s in sections)}"
            )
        sections = [section for section in sections if section.name in chosen]
    about = {"command": shlex.join(["scripts/gpu_check.py", *(arguments or sys.argv[1:])])}
    if older:
        about["older than asked for"] = older
    return check(sections, Report(options.device, about), options.out, options.seconds)


def check(sections: Sequence[Section], report: Report, out: Path, seconds: float) -> int:
    """Run sections one after another, and keep the report up to date.

    Args:
        sections: the most important first.
        report: still empty.
        out: folder of the report.
        seconds: of all together; a section that comes too late is not run.

    Returns:
        Exit code.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    report.about["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    report.results = [Result(section, "to come") for section in sections]
    end, stopped = time.monotonic() + seconds, ""
    with tempfile.TemporaryDirectory() as scratch:
        for place, section in enumerate(sections):
            report.write(out)
            limit = min(section.seconds, end - time.monotonic())
            if not stopped and limit < min(section.seconds, _TOO_FEW_SECONDS):
                stopped = f"the {seconds:.0f} s of --seconds are over"
            if stopped:
                report.results[place] = Result(section, "not run", reason=stopped)
                continue
            print(f"{section.name}: {section.title} (at most {limit:.0f} s) ...", flush=True)
            result = report.results[place] = run_section(section, Path(scratch) / section.name, limit)
            if result.tail:
                print(result.tail)
            because = f", {result.reason}" if result.reason else ""
            print(f"{section.name}: {result.status} ({result.seconds:.0f} s){because}", flush=True)
            if section.essential and result.status != "passed":
                stopped = f"{section.name} has {result.status}"
    report.about["seconds"] = round(seconds - (end - time.monotonic()))
    report.write(out)
    print(f"{report.verdict}; see {out / 'gpu-check.md'}")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
