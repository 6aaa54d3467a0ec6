"""The noise schedule that sampling and inversion walk on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Schedule:
    """N timesteps and the N + 1 noise levels between which they lead.

    Level 0 is the image and level N the noisiest latent. The UNet call at ``timesteps[k]`` belongs to the
    step between levels k and k + 1, in either direction.

    Attributes:
        timesteps: training timesteps, ascending: 1, 21, ..., 981 for 50 steps.
        alphas: cumulative alpha of each level, N + 1 of them.
    """

    timesteps: tuple[int, ...]
    alphas: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Number of sampling steps, N."""
        return len(self.timesteps)


def ddim_schedule(
    alphas_cumprod: Sequence[float], steps: int, steps_offset: int = 1, set_alpha_to_one: bool = False
) -> Schedule:
    """Evenly spaced timesteps ("leading" spacing), all shifted by ``steps_offset``.

    The offset is 1 in every script of the reference: where a script leaves it at 0, the Stable Diffusion
    pipeline of its time sets it to 1 before sampling.

    Args:
        alphas_cumprod: cumulative alphas of the training timesteps, 1000 of them.
        steps: number of sampling steps.
        steps_offset: added to every timestep.
        set_alpha_to_one: level 0 has alpha 1; otherwise that of training timestep 0, as Stable Diffusion's
            configuration says.
    """
    stride = len(alphas_cumprod) // steps
    timesteps = tuple(k * stride + steps_offset for k in range(steps))
    image_alpha = 1.0 if set_alpha_to_one else float(alphas_cumprod[0])
    alphas = (image_alpha, *(float(alphas_cumprod[t]) for t in timesteps))
    return Schedule(timesteps, alphas)
