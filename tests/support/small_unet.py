"""A UNet with three blocks of self-attention at the latents' own size, and one between them at half of it."""

from diffusers import UNet2DConditionModel

from tests.support.weights import fill


def new_small_unet(side):
    """Of latents of a side, with random weights that are not differentiated."""
    unet = UNet2DConditionModel(
        sample_size=side,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=16,
        norm_num_groups=4,
    )
    return fill(unet, seed=1).requires_grad_(False)
