"""Record the golden set that everybody has: ``python -m tests.golden.record_own``.

Four photographs of scikit-image, a tiny model whose weights come from a seed, and edits by the plain
implementation in ``scripts/plain/``, which is itself held against the reference's recordings. The
encoded pictures and inverted latents are the package's own: they guard against drift only.
"""

import tempfile
from pathlib import Path

import numpy as np

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.diffusion.ode import invert_ode
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.methods.p2p import P2PSettings
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.loading import load_model
from piebench_eval.runs.batch_editing import encode_inputs
from tests.support.photos import save_photo_bench
from tests.support.plain import plain_edit
from tests.support.tiny_model import save_tiny_model

FILE = Path(__file__).with_name("own.npz")
STEPS, RESOLUTION = 10, 128
SETTINGS = P2PSettings(controller="auto", blend_threshold=0.8)


def recorded_model(folder: Path) -> DiffusionModel:
    """The model of the recordings, written to a folder and loaded."""
    return load_model(str(save_tiny_model(folder)), deterministic=True)


def record(folder: Path) -> dict[str, np.ndarray]:
    """Latents of every photograph: encoded, inverted, and edited by each combination."""
    model = recorded_model(folder / "model")
    schedule = ddim_schedule(model.alphas_cumprod, STEPS)
    arrays = {}
    for sample in load_pie_bench(save_photo_bench(folder / "data")):
        inputs = encode_inputs(model, [sample], RESOLUTION)
        trajectory = invert_ode(model, inputs.latents, inputs.source_embeds, inputs.uncond_embeds, schedule)
        arrays[f"{sample.id}/z0"] = inputs.latents.numpy()
        arrays[f"{sample.id}/xT"] = trajectory[-1].numpy()
        for inversion in ("ddim", "direct"):
            edited = plain_edit(model, schedule, sample, inputs.latents, inversion, SETTINGS)
            arrays[f"{sample.id}/{inversion}+p2p"] = edited.numpy()
    return arrays


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        np.savez_compressed(FILE, **record(Path(place)))
