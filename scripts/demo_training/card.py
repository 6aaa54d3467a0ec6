"""Write the model card: networks, training and measurements."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

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
from scripts.demo_training import autoencoder, clip, squeezenet, structure_vit, unet

CARD = WEIGHTS.parent / "MODEL_CARD.md"

_TEMPLATE = """\
# The embedded demo models

Small networks of Stable Diffusion 1.x's component classes, trained from scratch on drawings of circles,
squares, triangles and stars. They exist so that `piebench demo` and the tests of this package show real
inversion and real editing on a laptop. **They say nothing about Stable Diffusion or about photographs**,
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


def write_card(measured: Mapping[str, float], size: int, file: Path = CARD) -> None:
    """Write the model card from measurements and the size of the weights in bytes."""
    from scripts.demo_training.measure import GUIDANCE, INVERSION_STEPS, SAMPLING_STEPS

    networks = [
        ("autoencoder", "AutoencoderKL", "drawings", autoencoder),
        ("UNet and text encoder", "UNet2DConditionModel, CLIPTextModel", "latents and captions", unet),
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
    )
    file.write_text(text, encoding="utf-8")
