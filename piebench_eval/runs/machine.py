"""Machine options of a run, and the specification of each worker.

A new machine flag is a field here, an option in ``cli/run.py`` and one use, mostly in ``model_runner.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from piebench_eval.diffusion.feature_limits import FeatureLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.feature_room import FeatureNeed
    from piebench_eval.runs.runner import Runner


@dataclass(frozen=True)
class MachineOptions:
    """On what and how a run is executed. What is edited, and how, is the recipe's, precision included.

    Attributes:
        engine: ``local``: this machine; ``ray``: a Ray cluster.
        devices: see ``find_devices``.
        workers: processes per GPU, or on the CPU; of Ray, actors: as many as it has room for if None.
        batch_size: samples per batch; None finds it out on a GPU and is 1 elsewhere.
        allow_pickle: load weights from pickle files.
        cache: folder for what combinations and runs share; it is kept in memory alone if None.
        compile: compile the UNet's blocks.
        checkpointing: recompute activations in null-text's and StyleDiffusion's backward passes.
        deterministic: on a CPU in float32, layers whose results do not depend on the number of threads; None:
            for the demo's models alone.
        offload_text_encoders: text encoders leave the GPU once prompts are embedded; None: where it has less
            than 24 GB of memory, or with ``sequential_offload``.
        sequential_offload: a transformer's blocks are on the GPU only while they compute.
        feature_memory: where features of inversions lie that a method reads; see ``worker_limits``.
        ray_address: of the Ray cluster; Ray's own choice if None.
        gpus_per_actor: share of GPUs that each actor takes; 1 where the cluster has any if None.
        shared_files: whether Ray's actors see the same files as this process.
        make_runner: replaces ``ModelRunner`` in tests of the job loop: a function of a module, called in the
            worker's process.
    """

    engine: Literal["local", "ray"] = "local"
    devices: str = "auto"
    workers: int | None = None
    batch_size: int | None = None
    allow_pickle: bool = False
    cache: Path | None = None
    compile: bool = False
    checkpointing: bool = False
    deterministic: bool | None = None
    offload_text_encoders: bool | None = None
    sequential_offload: bool = False
    feature_memory: FeatureLimits = field(default_factory=FeatureLimits)
    ray_address: str | None = None
    gpus_per_actor: float | None = None
    shared_files: bool = True
    make_runner: Callable[[WorkerSpec, Recipe], Runner] | None = None


@dataclass(frozen=True)
class WorkerSpec:
    """Everything that a worker needs to know; it can be sent to another process.

    Attributes:
        machine: the run's options.
        device: the device of this worker.
        threads: threads of arithmetic on a CPU; None leaves PyTorch's default.
        largest_batch: samples per batch at most.
        out: the run folder; None sends the pictures back with the outcomes.
        session: name of the session.
        workers: how many share the machine's memory.
        on_device: how many share the device.
        features: what combinations keep of their inversions.
    """

    machine: MachineOptions
    device: str
    threads: int | None
    largest_batch: int
    out: Path | None
    session: str
    workers: int = 1
    on_device: int = 1
    features: tuple[FeatureNeed, ...] = ()
