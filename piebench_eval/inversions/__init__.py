"""The registry of inversions, which give the source branch its latents: one file each, one line here.

An inversion's module is imported to check a recipe before anything runs, so it imports torch only inside
the functions that need it.
"""

from piebench_eval.inversions.base import Inversion
from piebench_eval.registry import Registry

INVERSIONS: Registry[Inversion] = Registry(
    "inversion",
    Inversion,
    {
        "ddim": "piebench_eval.inversions.ddim:DDIM",
        "euler": "piebench_eval.inversions.euler:EULER",
        "rf_solver": "piebench_eval.inversions.rf_solver:RF_SOLVER",
        "fireflow": "piebench_eval.inversions.fireflow:FIREFLOW",
        "uni_inv": "piebench_eval.inversions.uni_inv:UNI_INV",
        "null_text": "piebench_eval.inversions.null_text:NULL_TEXT",
        "negative_prompt": "piebench_eval.inversions.negative_prompt:NEGATIVE_PROMPT",
        "edit_friendly": "piebench_eval.inversions.edit_friendly:EDIT_FRIENDLY",
        "direct": "piebench_eval.inversions.direct:DIRECT",
        "turboedit": "piebench_eval.inversions.turboedit:TURBOEDIT",
        "stylediffusion": "piebench_eval.inversions.stylediffusion:STYLEDIFFUSION",
        "edict": "piebench_eval.inversions.edict:EDICT",
        "ddcm": "piebench_eval.inversions.ddcm:DDCM",
        "flowedit": "piebench_eval.inversions.flowedit:FLOWEDIT",
        "flow_align": "piebench_eval.inversions.flow_align:FLOW_ALIGN",
        "dnaedit": "piebench_eval.inversions.dnaedit:DNAEDIT",
        "rf_inversion": "piebench_eval.inversions.rf_inversion:RF_INVERSION",
    },
)
