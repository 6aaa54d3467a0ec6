"""What bf16 and fp16 change in every metric, on the demo's small model."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from piebench_eval.files import write_whole
from scripts.speed.quality import metric_changes
from scripts.speed.tables import metric_table

PAIRS = [("direct", "p2p"), ("direct", "masactrl"), ("direct", "pnp")]
PRECISIONS = ("bf16", "fp16")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", required=True)
    parser.add_argument("--pictures", type=int, default=10, help="of the demo (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of sampling; the demo's own by default")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; the tables are beside it, .md")
    options = parser.parse_args(arguments)
    settings = {"steps": options.steps} if options.steps else {}
    data, sections = {}, []
    for precision in PRECISIONS:
        changes = metric_changes(precision, PAIRS, options.device, options.pictures, settings)
        data[precision] = {name: row.unstack().to_dict(orient="index") for name, row in changes.iterrows()}
        sections.append(metric_table(changes, precision))
        write_whole(options.out, json.dumps(data, indent=1).encode() + b"\n")
        write_whole(options.out.with_suffix(".md"), "\n\n".join(sections).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
