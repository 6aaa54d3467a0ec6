"""A CUDA device without one: PyTorch's fake tensors know device, type and shape, and no numbers."""

from collections import Counter
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from piebench_eval.models.sd1 import StableDiffusion
from scripts.demo_training.unet import sd_scheduler
from scripts.speed.models import SIZES, new_text_encoder, new_vae

CUDA = torch.device("cuda:0")
_ALPHAS = sd_scheduler().alphas_cumprod.tolist()


@contextmanager
def fake_model(tokenizer, dtype):
    """A model of Stable Diffusion 1.x's shape on a GPU that is not there, at a precision.

    Inside, an operation on tensors of two devices or of two types raises, as it does on a real GPU.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        unet = _make(_new_unet, dtype)
        text_encoder = _make(lambda: new_text_encoder(SIZES["tiny"]), dtype)
        vae = _make(lambda: new_vae(SIZES["tiny"]), torch.float32)
        yield StableDiffusion(
            unet=unet,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            alphas_cumprod=_ALPHAS,
            device=CUDA,
        )


def _make(new, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with CUDA:
            return new().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def _new_unet():
    """Half as deep as Stable Diffusion's: every operation takes the fake a fifth of a millisecond."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64, 64, 64),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=SIZES["tiny"].text,
        norm_num_groups=8,
    ).eval()


class HostToDevice(TorchDispatchMode):
    """Counts the operations that bring a tensor from the host to the device, by name.

    A number in a tensor of no dimension travels with the kernel that reads it; only a copy of it counts.
    """

    def __init__(self):
        super().__init__()
        self.copies = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        moves = name in ("_to_copy", "copy_", "lift_fresh")
        of_host = any(
            leaf.device.type == "cpu" and (leaf.dim() or moves) for leaf in _tensors((args, kwargs))
        )
        if of_host and any(other.device.type == "cuda" for other in _tensors((made, args))):
            self.copies[name] += 1
        return made


def _tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
