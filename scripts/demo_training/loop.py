"""The training loop of all networks: seeded by step, logged, resumable, distributed."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

_SAVE_EVERY = 250
_LOG_EVERY = 25


@dataclass(frozen=True)
class Training:
    """What to train and how.

    Attributes:
        name: of the log and checkpoint files.
        groups: modules with the learning rate of each.
        loss: gives the loss of a step from a source of randomness that depends on step and process alone.
        steps: how many.
        seed: of the batches.
        ema: decay of the running average of the weights, which is what is kept in the end.
        betas: of AdamW.
        weight_decay: of AdamW.
        warmup: steps in which the learning rate rises; it falls with a cosine afterwards.
    """

    name: str
    groups: list[tuple[nn.Module, float]]
    loss: Callable[[np.random.Generator], torch.Tensor]
    steps: int
    seed: int
    ema: float = 0.998
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup: int = 100

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        return [parameter for module, _ in self.groups for parameter in module.parameters()]


def train(training: Training, folder: Path, device: torch.device) -> None:
    """Train, going on from the last checkpoint; afterwards the modules hold the averaged weights."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    optimizer = torch.optim.AdamW(
        [{"params": list(module.parameters()), "lr": rate} for module, rate in training.groups],
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, training))
    average = [parameter.detach().clone() for parameter in training.parameters]
    first = _resume(training, folder, optimizer, schedule, average)
    began = time.monotonic()
    for step in range(first, training.steps):
        rng = np.random.default_rng([training.seed, step, rank])
        torch.manual_seed(int(rng.integers(2**31)))
        with torch.autocast(device.type, torch.bfloat16):
            loss = training.loss(rng)
        optimizer.zero_grad()
        loss.backward()
        _average_gradients(training.parameters)
        nn.utils.clip_grad_norm_(training.parameters, 1.0)
        optimizer.step()
        schedule.step()
        decay = min(training.ema, (step + 1) / (step + 10))
        for kept, parameter in zip(average, training.parameters, strict=True):
            kept.lerp_(parameter.detach(), 1 - decay)
        if rank == 0 and (step % _LOG_EVERY == 0 or step + 1 == training.steps):
            seconds = time.monotonic() - began
            left = seconds / (step + 1 - first) * (training.steps - step - 1)
            _log(training, folder, {"loss": loss.item(), "seconds": seconds, "seconds left": left}, step)
        if rank == 0 and ((step + 1) % _SAVE_EVERY == 0 or step + 1 == training.steps):
            _save(training, folder, step + 1, optimizer, schedule, average)
    with torch.no_grad():
        for kept, parameter in zip(average, training.parameters, strict=True):
            parameter.copy_(kept)


def _rate(step: int, training: Training) -> float:
    if step < training.warmup:
        return (step + 1) / training.warmup
    share = (step - training.warmup) / max(1, training.steps - training.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))


def _average_gradients(parameters: list[nn.Parameter]) -> None:
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = (flat / dist.get_world_size()).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def _log(training: Training, folder: Path, values: dict[str, float], step: int) -> None:
    entry = {
        "step": step + 1,
        "of": training.steps,
        **{name: round(value, 5) for name, value in values.items()},
    }
    with (folder / f"{training.name}.log").open("a") as log:
        log.write(json.dumps(entry) + "\n")
    print(f"{training.name}:", *(f"{key} {value:g}" for key, value in entry.items()), flush=True)


def _save(training, folder, step, optimizer, schedule, average) -> None:
    state = {
        "step": step,
        "modules": [module.state_dict() for module, _ in training.groups],
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "average": average,
    }
    partial = folder / f"{training.name}.partial"
    torch.save(state, partial)
    partial.replace(folder / f"{training.name}.pt")


def _resume(training, folder, optimizer, schedule, average) -> int:
    file = folder / f"{training.name}.pt"
    if not file.is_file():
        return 0
    state = torch.load(file, weights_only=True)
    for (module, _), weights in zip(training.groups, state["modules"], strict=True):
        module.load_state_dict(weights)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    for kept, loaded in zip(average, state["average"], strict=True):
        kept.copy_(loaded)
    return state["step"]
