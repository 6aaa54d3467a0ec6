import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from scripts.speed.models import SIZES, new_vae, save_model
from scripts.speed.sdxl import new_xl_text_encoders, new_xl_unet


def weights(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_sdxl_has_its_published_number_of_weights():
    with torch.device("meta"):
        unet, vae = new_xl_unet(SIZES["sdxl"]), new_vae(SIZES["sdxl"])
        text_encoder, text_encoder_2 = new_xl_text_encoders(SIZES["sdxl"])
    assert weights(unet) == 2_567_463_684
    assert (weights(text_encoder), weights(text_encoder_2)) == (123_060_480, 694_659_840)
    assert weights(vae) == 83_653_863
    assert (unet.config.sample_size, unet.config.cross_attention_dim) == (128, 2048)
    assert (vae.config.scaling_factor, vae.config.force_upcast) == (0.13025, True)


def test_diffusers_samples_tiny_sdxl_by_its_prompt(tmp_path):
    pipeline = StableDiffusionXLPipeline.from_pretrained(save_model(tmp_path, SIZES["tiny-sdxl"]))
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.tokenizer_2.pad_token_id == 0
    one, other = (
        pipeline(
            prompt,
            height=128,
            width=128,
            num_inference_steps=2,
            guidance_scale=7.5,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
        ).images
        for prompt in ("a cat on a chair", "a dog on a chair")
    )
    assert one.std() == pytest.approx(1.8, abs=1)
    assert (one - other).std() > 0.01 * one.std()
