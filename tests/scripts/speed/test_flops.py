import torch
from diffusers import UNet2DConditionModel

from scripts.speed import flops
from scripts.speed.flops import flops_of_row, matrix_peak
from scripts.speed.models import SIZES, new_unet
from scripts.speed.sdxl import new_xl_unet


def test_stable_diffusion_takes_its_known_operations():
    with torch.device("meta"):
        unet = new_unet(SIZES["sd1"])
    # Published counts are about 0.34e12 multiplications and additions without attention's own products,
    # which are another 0.06e12 at 64x64.
    assert 0.7e12 < flops_of_row(unet, 64) < 0.9e12


def test_so_does_stable_diffusion_xl():
    with torch.device("meta"):
        unet = new_xl_unet(SIZES["sdxl"])
    # Self-attention's own products: 10 layers of 640 channels at 64x64, and 60 of 1280 at 32x32.
    products = 4 * (10 * 4096**2 * 640 + 60 * 1024**2 * 1280)
    assert 6e12 + products < flops_of_row(unet, 128) < 6.1e12 + products


def test_operations_are_counted_by_hand():
    """One level without attention, whose convolutions are all that counts besides the time's layers."""
    unet = UNet2DConditionModel(
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        mid_block_type=None,
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
    )
    convolutions = 4 * 8 * 9 + (8 * 8 * 9) * 2  # in; the block on the way down
    convolutions += 2 * ((16 * 8 * 9) + (8 * 8 * 9) + 16 * 8) + 8 * 4 * 9  # two on the way up; out
    time_layers = (8 * 32 + 32 * 32) + 3 * 32 * 8
    assert flops_of_row(unet, 16) == 2 * (convolutions * 16 * 16 + time_layers)


def test_the_matrix_peak_is_a_rate(monkeypatch):
    monkeypatch.setattr(flops, "_SECONDS", 0.01)
    assert 1e7 < matrix_peak(torch.device("cpu"), torch.float32, sides=(64, 128)) < 1e15
