"""The time of a run before its first edit, by a pace that ``scripts/bench.py`` has measured on its device."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import parts_of_name
from piebench_eval.data.images import KEEPS_SIZE, image_size
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_json_object
from piebench_eval.models.location import denoiser_config, image_sizes
from piebench_eval.models.quantization import FULL
from piebench_eval.runs.engines.choice import count_workers
from piebench_eval.runs.engines.devices import resolve_devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.combination import CommonSettings
    from piebench_eval.runs.forecast import Forecast
    from piebench_eval.runs.machine import MachineOptions
    from piebench_eval.runs.plan import RunPlan

BENCH_SIZES = {
    "CompVis/stable-diffusion-v1-4": "sd1",
    "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
    "stabilityai/stable-diffusion-3-medium-diffusers": "sd3",
    "stabilityai/stable-diffusion-3.5-medium": "sd3.5-medium",
    "black-forest-labs/FLUX.1-dev": "flux",
}
"""Published models, and the ``--size`` of ``scripts/bench.py`` that has their shapes."""

_REMEDY = "give a file that scripts/bench.py --out has written"


@dataclass(frozen=True)
class MeasuredPace:
    """How fast a device evaluates a model.

    Attributes:
        device: see ``timed_device``.
        model: hub id of the published model of these shapes, or what ``--model`` of the bench named.
        precision: of the denoiser.
        resolution: side of the pictures in pixels.
        seconds_per_evaluation: of one row of a batch.
        seconds_per_picture: of what is not in the steps: reading, encoding, decoding.
        denoiser: fields of the denoiser's configuration by which a folder is known as such a model.
        note: what a reader must know of how it was obtained; empty if it was measured as it is.
        file: where it is from.
    """

    device: str
    model: str
    precision: str
    resolution: int
    seconds_per_evaluation: float
    seconds_per_picture: float
    denoiser: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    file: Path | None = None

    def seconds(self, evaluations: float, pictures: int) -> float:
        """What a number of evaluations takes one worker, and the pictures' way in and out."""
        return evaluations * self.seconds_per_evaluation + pictures * self.seconds_per_picture

    def is_of(self, common: CommonSettings) -> bool:
        """Whether it is of a combination's model: by its name, or by its configuration."""
        if common.model == self.model:
            return True
        own = denoiser_config(common.model, common.revision, common.family) if self.denoiser else None
        return own is not None and all(
            (own.get(name) or None) == (value or None) for name, value in self.denoiser.items()
        )


def read_paces(place: Path | None) -> list[MeasuredPace]:
    """The paces in a file of the bench, or in all JSON files of a folder.

    Args:
        place: the file or folder; None for ``results/bench`` of a clone, and nothing elsewhere.

    Raises:
        PiebenchError: there is no such place, or it holds no pace of the bench.
    """
    own = Path(__file__).parents[3] / "results" / "bench"
    folder = own if place is None else place
    if place is not None and not place.exists():
        raise PiebenchError(f"--pace {place}: no such file or folder; {_REMEDY}")
    if place is not None and place.is_file():
        return _paces_in(place, read_json_object(place, {"pace"}, _REMEDY))
    found = []
    for file in sorted(folder.glob("*.json")):
        content = read_json_object(file, set(), _REMEDY)
        found += _paces_in(file, content) if "pace" in content else []
    if place is not None and not found:
        raise PiebenchError(f"--pace {place}: no JSON file in it has a pace; {_REMEDY}")
    return found


def _paces_in(file: Path, content: dict[str, Any]) -> list[MeasuredPace]:
    try:
        paces = [MeasuredPace(**entry, file=file) for entry in content["pace"]]
        for pace in paces:
            pace.seconds(1.0, 1)
    except TypeError as error:
        raise PiebenchError(f"{file}: pace: is damaged ({error}); {_REMEDY}") from None
    return paces


def find_pace(
    paces: Iterable[MeasuredPace], device: str, common: CommonSettings, resolution: int | None
) -> MeasuredPace | None:
    """The fastest pace of a combination's model on a device; the bench tries several batch sizes.

    One that was measured as a run is made comes before those of compiled or fewer blocks, which have a note.

    Args:
        paces: all that are known.
        device: see ``timed_device``.
        common: the settings of the combination.
        resolution: side of its pictures in pixels; None if unknown.
    """
    fitting = [
        pace
        for pace in paces
        if (pace.device, pace.precision, pace.resolution) == (device, common.precision, resolution)
        and pace.is_of(common)
    ]
    return min(fitting, key=lambda pace: (bool(pace.note), pace.seconds_per_evaluation), default=None)


@dataclass(frozen=True)
class ForecastTime:
    """The time of a combination's missing edits.

    Attributes:
        seconds: what all workers of the run need; None if unknown.
        source: where it is from: ``records`` of the run folder, or ``bench``; empty if unknown.
        note: what must be known of it.
        unknown: of what no pace is known, and the command that measures it, or that the bench does not; empty
            if the time is known.
    """

    seconds: float | None
    source: str
    note: str = ""
    unknown: str = ""


def time_of(plan: RunPlan, part: Forecast, paces: Iterable[MeasuredPace], device: str | None) -> ForecastTime:
    """The time of a combination by the run's own records, or by a measured pace; never by a guess.

    The bench measures full weights that lie on its device: nothing is known of the pace of others.

    Args:
        plan: the plan of the run.
        part: the forecast of the combination.
        paces: all that are known.
        device: see ``device_at_hand``.
    """
    workers = count_workers(plan.machine) * plan.shard.count
    if part.seconds is not None:
        return ForecastTime(part.seconds / workers, "records")
    common = plan.recipe.combination(*parts_of_name(part.combination)).common
    side = side_of_edits(common, plan.samples)
    unmeasured = [f"weights={common.weights}"] if common.weights != FULL else []
    unmeasured += ["--sequential-offload"] if plan.machine.sequential_offload else []
    known = None if device is None or unmeasured else find_pace(paces, device, common, side)
    if known is not None:
        return ForecastTime(known.seconds(part.nfe_to_compute, part.missing) / workers, "bench", known.note)
    how = how_to_measure(common, side)
    if unmeasured:
        how = f"the bench does not measure {' and '.join(unmeasured)}; try --limit 2, then --dry-run again"
    at = f" at {side} pixels" if side else ""
    return ForecastTime(None, "", unknown=f"{common.model}{at} in {common.precision}: {how}")


def side_of_edits(common: CommonSettings, samples: Sequence[Sample]) -> int | None:
    """Side in pixels of a combination's edits; None if the model's own is not known on this machine."""
    if common.image_loader == KEEPS_SIZE and samples:
        return min(image_size(samples[0].file))
    sizes = None if common.resolution else image_sizes(common.model, common.revision, common.family)
    return common.resolution or (sizes.native if sizes else None)


def device_at_hand(machine: MachineOptions) -> str | None:
    """The device that a run would use, as the bench calls it; None for a Ray cluster's.

    Raises:
        PiebenchError: there is no such device.
    """
    import torch

    if machine.engine == "ray":
        return None
    return timed_device(torch.device(resolve_devices(machine)[0]))


def timed_device(device: torch.device) -> str:
    """A device by what decides its pace: the name of the GPU; of a CPU, which it is and its threads."""
    import torch

    from piebench_eval.runs.store.manifest import processor_name

    if device.type == "cuda":
        return processor_name(device)
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else processor_name(device)}, {torch.get_num_threads()} threads"


def how_to_measure(common: CommonSettings, resolution: int | None) -> str:
    """The command that measures the pace of a combination's model, in a clone of the repository."""
    size = BENCH_SIZES.get(common.model)
    model = f"--size {size}" if size else f"--model {common.model}"
    side = f" --resolution {resolution}" if resolution else ""
    return f"python scripts/bench.py {model}{side} --precision {common.precision} --device auto --out FILE"
