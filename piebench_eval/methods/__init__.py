"""Editing methods: what the target branch takes from the source branch. One file each, one line here.

A method's module is imported to check a recipe before anything runs, so it imports torch only inside
the functions that need it.
"""

from piebench_eval.methods.base import Method
from piebench_eval.registry import Registry

METHODS: Registry[Method] = Registry(
    "method",
    Method,
    {
        "p2p": "piebench_eval.methods.p2p:P2P",
        "pnp": "piebench_eval.methods.pnp:PNP",
        "masactrl": "piebench_eval.methods.masactrl:MASACTRL",
        "proximal": "piebench_eval.methods.proximal:PROXIMAL",
        "pix2pix_zero": "piebench_eval.methods.pix2pix_zero:PIX2PIX_ZERO",
        "plain": "piebench_eval.methods.plain:PLAIN",
        "value_sharing": "piebench_eval.methods.value_sharing:VALUE_SHARING",
        "infedit": "piebench_eval.methods.infedit:INFEDIT",
        "uni_edit": "piebench_eval.methods.uni_edit:UNI_EDIT",
        "feature_sharing": "piebench_eval.methods.feature_sharing:FEATURE_SHARING",
        "dnaedit": "piebench_eval.methods.dnaedit:DNAEDIT",
        "rf_inversion": "piebench_eval.methods.rf_inversion:RF_INVERSION",
    },
)
