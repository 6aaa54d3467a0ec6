"""Fixed-point inversion: an inversion of one's own, for `piebench run --plugin examples/fixed_point.py`."""

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.settings import Settings


class FixedPointSettings(Settings):
    iterations: int = Field(default=2, ge=1, description="noise predictions per step; 1 is DDIM inversion")


def fixed_point(model, inputs, schedule, settings):
    """Solve z_k = inverse_step(z_{k-1}, noise(z_k)) for each level k, beginning with z_k = z_{k-1}."""
    import torch  # here: recipes are checked without it

    from piebench_eval.diffusion.loop import InversionResult

    @torch.no_grad()
    def invert():
        zs, samples = [inputs.latents], range(len(inputs.latents))
        for k in range(1, schedule.steps + 1):
            z = zs[-1]
            for _ in range(settings.iterations):
                noise = model.predict(z, schedule.timestep(k), inputs.inversion_embeds, samples)
                z = schedule.inverse_step(zs[-1], noise, k)
            zs.append(z)
        return {"latents": torch.stack(zs)}  # [steps + 1, samples, 4, h, w], from the image

    # All that the result depends on, besides the model: otherwise the cache returns another run's.
    determinants = {"schedule": schedule.key, "iterations": settings.iterations}
    tensors = [inputs.latents, *inputs.inversion_embeds.parts]
    found = model.cached("fixed_point", invert, determinants, tensors, axis=1)
    return InversionResult(found["latents"], "sampled")


INVERSIONS = {"fixed_point": Inversion("Fixed-point", "yours", "", FixedPointSettings, fixed_point)}
