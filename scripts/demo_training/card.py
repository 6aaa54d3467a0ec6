"""Write the model card: networks, training and measurements."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.demo.benchmark import IDEAL_FOLDER
from piebench_eval.demo.embedded import WEIGHTS
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.report.contact_sheet import run_sheet
from piebench_eval.runs.execute import execute_run
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.runs.store.folder import RunStore
from scripts.demo_training import autoencoder, clip, flow, squeezenet, structure_vit, unet

if TYPE_CHECKING:
    from scripts.demo_training.measure_flow import Inverted

CARD = WEIGHTS.parent / "MODEL_CARD.md"

_TEMPLATE = """\
# The embedded demo models

Small networks of the component classes of Stable Diffusion 1.x and 3, trained from scratch on drawings of
circles, squares, triangles and stars. They exist so that `piebench demo` and the tests of this package show
real inversion and real editing on a laptop. **They say nothing about Stable Diffusion or about photographs**,
and scores made by or with them are labelled and never held against the paper's.

- Licence: Apache-2.0, as the package. Nothing in them comes from other models or from collected pictures.
- Files: `weights/`, half precision safetensors, {megabytes:.1f} MB in all.
- Made by `python -m scripts.train_demo_models --work WORK`, which also wrote this page. Seeded; on other
  hardware the weights agree in quality, not bit for bit.
- Data: scenes that `scene.py` draws at random, {pictures:,} of them. Training, measuring and the demo
  benchmark use seeds that do not meet.

| network | class | trained on | steps x batch |
|---|---|---|---|
{networks}

Measured on held-out scenes (seeds that nothing was trained on):

| what | value |
|---|---|
{measured}

"Right" is judged by `scripts/demo_training/recognise.py`: nearest palette colours and best-overlapping
outline. "Drawn" is what
that check says of the drawings themselves, "autoencoder" of drawings after the autoencoder, "sampled" of
pictures sampled from noise for the drawings' captions ({steps} DDIM steps, guidance {guidance:g}; one object,
every material and background pattern). "Inversion" is DDIM inversion and sampling back at guidance 1,
{inversion_steps} steps, against the autoencoder's own reconstruction.

{flow}
One edit of each type by direct + p2p at the demo's settings (source, edit, ideal):

![edits](edits.png)
"""


def write_edits_sheet() -> None:
    """Edit one sample of each type by direct + p2p, as the demo does, and lay source, edit and ideal out."""
    fields = select_combinations(read_recipe_fields(DEMO_RECIPE), ["direct"], ["p2p"], str(DEMO_RECIPE))
    recipe = build_recipe(fields, {}, str(DEMO_RECIPE))
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_run(recipe, None, Path(folder), Selection(limit=len(TYPE_NAMES)))
        execute_run(plan, lambda progress: None)
        sheet = run_sheet(RunStore.read(plan.out), plan.samples, plan.data / IDEAL_FOLDER, side=96)
        sheet.save(CARD.with_name("edits.png"), optimize=True)


_FLOW_TEMPLATE = """\
## The flow transformer

`demo-flow` is a `StableDiffusion3Pipeline` without T5: an `SD3Transformer2DModel` of {millions:.1f} million
weights ({layers} blocks, {width} channels, {heads} heads) on the autoencoder's latents, 4x16x16 in 2x2
patches, and two `CLIPTextModelWithProjection`. It is trained to predict noise - image at logit-normal
times, together with the text encoders, which begin as the UNet's and CLIP's. Its table of positions, sines
in Stable Diffusion 3, is learned. It takes {clip_length} tokens of CLIP's and {t5_length} zero in the place
of T5's: set `t5_length: {t5_length}`, as `configs/demo-flow.yaml` does. Its scheduler's shift is {shift:g}.

| sampled, {steps} Euler steps, guidance {guidance:g} | value |
|---|---|
{right}

Inversion and sampling back at guidance 1, against the autoencoder's own reconstruction:

| solver | steps | evaluations, both ways | PSNR, dB |
|---|---|---|---|
{inverted}
"""


def write_card(
    measured: Mapping[str, float],
    right: Mapping[str, float],
    inverted: Sequence[Inverted],
    size: int,
    file: Path = CARD,
) -> None:
    """Write the model card.

    Args:
        measured: of the diffusion model and the networks of the scores.
        right: of the flow transformer's samples.
        inverted: how well solvers come back along its flow.
        size: of the weights, bytes.
        file: where to.
    """
    from scripts.demo_training.measure import GUIDANCE, INVERSION_STEPS, SAMPLING_STEPS

    networks = [
        ("autoencoder", "AutoencoderKL", "drawings", autoencoder),
        ("UNet and text encoder", "UNet2DConditionModel, CLIPTextModel", "latents and captions", unet),
        (
            "flow transformer and text encoders",
            "SD3Transformer2DModel, CLIPTextModelWithProjection",
            "latents and captions",
            flow,
        ),
        ("CLIP", "CLIPModel", "drawings and captions, contrasted", clip),
        (
            "ViT of the structure distance",
            "ViTModel",
            "what objects cover of each patch",
            structure_vit,
        ),
        ("SqueezeNet of LPIPS", "squeezenet1_1().features", "which attributes a drawing has", squeezenet),
    ]
    rows = [
        f"| {name} | {kind} | {task} | {module.STEPS:,} x {module.BATCH} |"
        for name, kind, task, module in networks
    ]
    values = [
        f"| {name} | {value:.1f} |" if name.endswith("dB") else f"| {name} | {value:.1%} |"
        for name, value in measured.items()
    ]
    text = _TEMPLATE.format(
        megabytes=size / 1e6,
        pictures=unet.PICTURES,
        networks="\n".join(rows),
        measured="\n".join(values),
        steps=SAMPLING_STEPS,
        guidance=GUIDANCE,
        inversion_steps=INVERSION_STEPS,
        flow=_flow_section(right, inverted),
    )
    file.write_text(text, encoding="utf-8")


def _flow_section(right: Mapping[str, float], inverted: Sequence[Inverted]) -> str:
    from scripts.demo_training.measure_flow import GUIDANCE, SAMPLING_STEPS

    weights = sum(parameter.numel() for parameter in flow.new_transformer().parameters())
    return _FLOW_TEMPLATE.format(
        millions=weights / 1e6,
        layers=flow.LAYERS,
        width=flow.HEADS * flow.HEAD_WIDTH,
        heads=flow.HEADS,
        clip_length=flow.CLIP_LENGTH,
        t5_length=flow.T5_LENGTH,
        shift=flow.SHIFT,
        steps=SAMPLING_STEPS,
        guidance=GUIDANCE,
        right="\n".join(f"| {name} right | {value:.1%} |" for name, value in right.items()),
        inverted="\n".join(
            f"| {way.solver} | {way.steps} | {way.evaluations} | {way.psnr:.1f} |" for way in inverted
        ),
    )
