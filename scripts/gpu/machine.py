"""The device and the libraries of a check, as JSON: ``python -m scripts.gpu.machine --device cuda:0``.

Imports everything that the other sections need, so that missing packages are reported once.
"""

import argparse
import importlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

IMPORTED = ("torch", "diffusers", "transformers", "piebench_eval.api.running", "scripts.speed.run")
LIBRARIES = ("torch", "triton", "torchvision", "diffusers", "transformers", "accelerate", "numpy", "pillow")


def describe(name: str) -> dict[str, Any]:
    """What there is.

    Raises:
        PiebenchError: there is no such device.
    """
    import torch

    from piebench_eval import __version__
    from piebench_eval.models.device import resolve_device

    device = resolve_device(name)
    about: dict[str, Any] = {"device": name, "system": platform.platform()}
    about |= {"python": platform.python_version(), "piebench-eval": __version__, "commit": _commit()}
    about |= {library: _version(library) for library in LIBRARIES}
    about["C compiler, for --compile"] = shutil.which("cc") or shutil.which("gcc") or "none"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        free, total = torch.cuda.mem_get_info(device)
        about |= {
            "GPU": properties.name,
            "compute capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory, GB": round(total / 1e9, 1),
            "of it free, GB": round(free / 1e9, 1),
            "GPUs": torch.cuda.device_count(),
            "driver": _driver(),
            "CUDA of PyTorch": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
        }
    product = torch.ones(256, 256, device=device) @ torch.ones(256, 256, device=device)
    if float(product.sum()) != 256**3:
        raise SystemExit(f"{name}: a product of matrices of ones is wrong")
    return about


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _driver() -> str:
    return _told_by("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def _commit() -> str:
    """Of this clone; one with changes is marked."""
    return _told_by("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12")


def _told_by(*command: str) -> str:
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "not told"
    return told.strip().splitlines()[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    options = parser.parse_args(arguments)
    wrong = []
    for module in IMPORTED:
        try:
            importlib.import_module(module)
        except ImportError as error:
            wrong.append(f"{module} cannot be imported: {error}")
    if not wrong:
        from piebench_eval.errors import PiebenchError

        try:
            options.out.write_text(json.dumps(describe(options.device), indent=1))
        except PiebenchError as error:
            wrong.append(f"{error}; to try the check itself: --device cpu --quick")
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
