"""A small transformer with joint attention, as Stable Diffusion 3's, with random weights."""

from diffusers import SD3Transformer2DModel

from tests.support.weights import fill

TEXT_WIDTH = 16


def new_transformer(blocks: int = 3, **options) -> SD3Transformer2DModel:
    """Latents of 4 channels, patches of 2x2, 2 heads.

    Args:
        blocks: how many; the last one's text is read and not written.
        options: ``dual_attention_layers`` and ``qk_norm``, as Stable Diffusion 3.5 has them.
    """
    transformer = SD3Transformer2DModel(
        sample_size=16,
        num_layers=blocks,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        in_channels=4,
        out_channels=4,
        pos_embed_max_size=16,
        **options,
    )
    return fill(transformer, seed=1)
