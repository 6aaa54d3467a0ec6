"""The registry of editors, which make pictures from samples: one file each, one line here.

An editor's module is imported to check a recipe before anything runs, so it imports torch only inside
the functions that need it.
"""

from piebench_eval.combination_names import editor_name_problem
from piebench_eval.editors.base import Editor
from piebench_eval.registry import Registry

EDITORS: Registry[Editor] = Registry(
    "editor",
    Editor,
    {
        "blended_latent_diffusion": (
            "piebench_eval.editors.blended_latent_diffusion:BLENDED_LATENT_DIFFUSION"
        ),
        "sdedit": "piebench_eval.editors.sdedit:SDEDIT",
        "inpainting": "piebench_eval.editors.pipelines.inpainting:INPAINTING",
        "ledits_pp": "piebench_eval.editors.pipelines.ledits_pp:LEDITS_PP",
        "instruct_pix2pix": "piebench_eval.editors.pipelines.instruct_pix2pix:INSTRUCT_PIX2PIX",
        "flux_kontext": "piebench_eval.editors.pipelines.flux_kontext:FLUX_KONTEXT",
        "qwen_image_edit": "piebench_eval.editors.pipelines.qwen_image_edit:QWEN_IMAGE_EDIT",
        "diffusers": "piebench_eval.editors.pipelines.any_pipeline:DIFFUSERS",
    },
    editor_name_problem,
)
