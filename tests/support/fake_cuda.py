"""A CUDA device without one: PyTorch's fake tensors know device, type and shape, and no numbers."""

from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from piebench_eval.models.families import FAMILIES
from piebench_eval.models.image_encoder import ImageEncoder
from piebench_eval.models.loading import implementation
from piebench_eval.models.plain_layers import use_plain_layers
from piebench_eval.models.text_projections import remember_text_projections
from scripts.demo_training.unet import sd_scheduler
from scripts.speed.models import SIZES, new_text_encoder, new_vae
from scripts.speed.sdxl import TextSize, XLSize, new_xl_text_encoders, new_xl_unet
from tests.support.tiny_clip import new_image_encoder
from tests.support.tiny_flux import SCHEDULER, new_clip, new_flux, new_flux_vae
from tests.support.tiny_sd3 import new_clips, new_sd3_vae, new_t5, new_t5_tokenizer, new_transformer

CUDA = torch.device("cuda:0")
_ALPHAS = sd_scheduler().alphas_cumprod.tolist()


_XL = XLSize(
    unet=(32, 64, 64),
    transformer_layers=(1, 1, 2),
    heads=(1, 2, 2),
    groups=8,
    time_width=8,
    text=TextSize(16, 3, 2),
    text_2=TextSize(24, 3, 2),
    vae=(16, 16, 32, 32),
    vae_groups=8,
    side=128,
    layers=1,
)


@contextmanager
def fake_device():
    """A context in which tensors are fakes: an operation on two devices or two types raises, as on a GPU."""
    with FakeTensorMode(allow_non_fake_inputs=True), _FusedAttention():
        yield


class _FusedAttention(TorchFunctionMode):
    """Attention by one kernel, as on a GPU; where there is none, PyTorch makes thirty operations of it."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is scaled_dot_product_attention:
            return _attend(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **options):
    if query.device != CUDA or attn_mask is not None or is_causal:
        return scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, **options)
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(f"attention of {query.dtype}, {key.dtype} and {value.dtype}")
    return torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, None, True)[0]


def fake_model(tokenizer, dtype, family="sd1"):
    """Inside ``fake_device``: a model of a family's structure on a GPU that is not there, at a precision."""
    parts = {"sdxl": _xl_parts, "sd3": _sd3_parts, "flux": _flux_parts}.get(family, _parts)
    return implementation(FAMILIES[family])(
        **{"vae": _make(lambda: new_vae(SIZES["tiny"]), torch.float32), **parts(tokenizer, dtype, family)},
        tokenizer=tokenizer,
        alphas_cumprod=_ALPHAS,
        scheduler=SCHEDULER,
        device=CUDA,
    )


def fake_image_encoder(width):
    """Inside ``fake_device``: what reads pictures, on that GPU."""
    return ImageEncoder("fake", _make(lambda: new_image_encoder(width), torch.float32), CUDA)


def _parts(tokenizer, dtype, family):
    options = {"time_cond_proj_dim": 256} if family == "lcm" else {}
    return {
        "unet": _as_loaded(_make(lambda: _new_unet(**options), dtype)),
        "text_encoder": _make(lambda: new_text_encoder(SIZES["tiny"]), dtype),
    }


def _xl_parts(tokenizer, dtype, family):
    return {
        "unet": _as_loaded(_make(lambda: new_xl_unet(_XL), dtype)),
        "text_encoder": _make(lambda: new_xl_text_encoders(_XL)[0], dtype),
        "text_encoder_2": _make(lambda: new_xl_text_encoders(_XL)[1], dtype),
        "tokenizer_2": tokenizer,
    }


def _sd3_parts(tokenizer, dtype, family):
    vocabulary, tokenizer_3 = len(tokenizer), new_t5_tokenizer()
    return {
        "vae": _make(new_sd3_vae, torch.float32),
        "transformer": _make(lambda: new_transformer(newer=True), dtype),
        "text_encoder": _make(lambda: new_clips(vocabulary)[0], dtype),
        "text_encoder_2": _make(lambda: new_clips(vocabulary)[1], dtype),
        "text_encoder_3": _make(lambda: new_t5(len(tokenizer_3)), dtype),
        "tokenizer_2": tokenizer,
        "tokenizer_3": tokenizer_3,
    }


def _flux_parts(tokenizer, dtype, family):
    vocabulary, tokenizer_2 = len(tokenizer), new_t5_tokenizer()
    return {
        "vae": _make(new_flux_vae, torch.float32),
        "transformer": _make(new_flux, dtype),
        "text_encoder": _make(lambda: new_clip(vocabulary), dtype),
        "text_encoder_2": _make(lambda: new_t5(len(tokenizer_2)), dtype),
        "tokenizer_2": tokenizer_2,
    }


def _make(new, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with CUDA:
            return new().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def _as_loaded(unet):
    """A UNet whose layers are those that ``load_model`` puts there."""
    remember_text_projections(unet)
    use_plain_layers(unet)
    return unet


def _new_unet(**options):
    """Half as deep as Stable Diffusion's: every operation takes the fake a fifth of a millisecond."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64, 64, 64),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=SIZES["tiny"].text,
        norm_num_groups=8,
        **options,
    ).eval()


class DeviceWaits(TorchDispatchMode):
    """Notes the operations for which a host waits for a device, by name and by the model's calls before them.

    These are copies in either direction, and writing where a mask is true, whose places are counted first.
    Operations that return a number or as many values as there are, such as ``item`` and reading where a mask
    is true, a fake device refuses by itself.

    A number in a tensor of no dimension travels with the kernel that reads it; only a copy of it counts.

    Args:
        calls: how often the model has been called.
    """

    def __init__(self, calls=lambda: 0):
        super().__init__()
        self._calls, self.found = calls, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made = function(*args, **kwargs)
        name = function.overloadpacket.__name__
        given = list(_tensors((*args, *kwargs.values())))
        if _copies(name, given, list(_tensors((made, *args)))) or _counts_places(name, args):
            self.found.append((name, self._calls()))
        return made


def _copies(name, given, there):
    """Whether an operation copies between host and device, from or to any of these tensors."""
    devices = {tensor.device.type for tensor in there}
    if name in ("_to_copy", "copy_", "lift_fresh"):
        return {"cpu", "cuda"} <= devices | {tensor.device.type for tensor in given}
    return "cuda" in devices and any(each.device.type == "cpu" and each.dim() for each in given)


def _counts_places(name, args):
    """Whether an operation writes where a mask on the device is true, unless it writes one number there."""
    if name not in ("index_put", "index_put_", "_index_put_impl_"):
        return False
    indices, values = args[1:3]
    masks = (each for each in _tensors(indices) if each.dtype in (torch.bool, torch.uint8))
    return values.numel() != 1 and any(mask.device.type == "cuda" for mask in masks)


def _tensors(values):
    """Those among an operation's arguments, some of which are lists; PyTorch's trees take long to walk."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
