"""Score a folder of edited images and print a table of means with intervals, overall and by editing type.

Without data of your own, with the ideal edits of a drawn benchmark:

    piebench data demo --per-type 1 --out bench
    python examples/score_folder.py bench/ideal_images bench --networks demo
"""

import argparse
from pathlib import Path

import piebench_eval as pb


def main() -> None:
    parser = argparse.ArgumentParser(description="Score a folder of edited images.")
    parser.add_argument("edits", type=Path, help="edited images: the official layout, or ID.png")
    parser.add_argument("benchmark", type=Path, help="folder with mapping_file.json")
    parser.add_argument("--name", default="mine", help="what to call the method")
    parser.add_argument("--networks", choices=["demo"], help="small networks instead of the paper's")
    given = parser.parse_args()

    roles = ("dino", "clip", "lpips_weights") if given.networks else ()
    networks = dict.fromkeys(roles, given.networks)
    scores = pb.score(images=given.edits, data=given.benchmark, name=given.name, **networks)
    means = pb.table(scores, intervals=True)
    print(means.to_string(index=False))
    for remark in means.attrs["remarks"]:
        print(f"- {remark}")
    print(pb.table(scores, by_type=True).to_string(index=False))
    print(f"every score: {scores.attrs['file']}")


if __name__ == "__main__":
    main()
