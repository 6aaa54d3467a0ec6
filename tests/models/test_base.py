"""Pixels in, pixels out."""

import numpy as np
import pytest
import torch
from PIL import Image

from piebench_eval.models.cache import Cache
from piebench_eval.models.decoding import grey_levels


def test_grey_levels_outside_the_range_are_clamped_or_wrap_around(model):
    latents = 40 * torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    clamped, wrapped = (model.decode_latents(latents, how)[0] for how in ("clamp", "wrap"))
    inside = (clamped > 0) & (clamped < 255)
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(clamped[inside], wrapped[inside])
    assert len(np.unique(wrapped[~inside])) > 10


def test_a_prompts_embedding_does_not_depend_on_its_neighbours(model):
    alone = model.embed_prompts(["a cat"])
    together = model.embed_prompts(["a dog", "a cat", "", "a cat"])
    assert together.take([1]).equals(alone) and together.take([3]).equals(alone)


def decoded(model, latents):
    with torch.no_grad():
        return torch.cat(
            [model.vae.decode(one[None] / model.vae.config.scaling_factor).sample for one in latents]
        )


@pytest.fixture(scope="module")
def latents():
    return 4 * torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def test_grey_levels_are_truncated_or_rounded_as_by_diffusers(model, latents):
    from diffusers.image_processor import VaeImageProcessor

    processor = VaeImageProcessor()
    pixels = processor.postprocess(decoded(model, latents), output_type="np")
    rounded = model.decode_latents(latents, whole="round")
    np.testing.assert_array_equal(rounded, [np.asarray(one) for one in processor.numpy_to_pil(pixels)])
    truncated = model.decode_latents(latents)
    np.testing.assert_array_equal(truncated, (pixels * 255).astype(np.uint8))
    assert ((rounded - truncated) == 1).any() and ((rounded - truncated) <= 1).all()
    wrapped = model.decode_latents(latents, "wrap", whole="round")
    levels = (decoded(model, latents) / 2 + 0.5) * 255
    np.testing.assert_array_equal(wrapped, np.round(levels.permute(0, 2, 3, 1).numpy()) % 256)


def test_grey_levels_are_stretched_by_picture_as_by_torchvision(model, latents, tmp_path):
    from torchvision.utils import save_image

    latents = torch.cat([latents, latents[:1] / 100])
    stretched = model.decode_latents(latents, "min_max", whole="round")
    for found, pixels in zip(stretched, decoded(model, latents), strict=True):
        save_image(pixels, tmp_path / "picture.png", normalize=True)
        np.testing.assert_array_equal(found, np.asarray(Image.open(tmp_path / "picture.png")))
        assert (found.min(), found.max()) == (0, 255)
    assert not grey_levels(torch.full((1, 3, 2, 2), 0.3), "min_max").any()


def test_a_sample_of_the_posterior(model):
    pictures = [np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8) for i in range(2)]
    means = model.encode_images(pictures)
    posteriors = [
        model.vae.encode(
            torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous() / 127.5 - 1
        ).latent_dist
        for picture in pictures
    ]
    for seed in (3, 4):
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        spread = torch.cat([posterior.std for posterior in posteriors]) * model.vae.config.scaling_factor
        sampled = model.encode_images(pictures, "sample", seed)
        torch.testing.assert_close(sampled, means + spread * noise, atol=1e-5, rtol=0)
        assert sampled[:1].equal(model.encode_images(pictures[:1], "sample", seed))
        assert (sampled - means).abs().max() > 1e-3


def test_encoded_pictures_are_kept_by_posterior_and_seed(model, monkeypatch):
    picture = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)]
    how = [{}, {"posterior": "sample", "seed": 1}, {"posterior": "sample", "seed": 2}, {"seed": 3}]
    alone = [model.encode_images(picture, **each) for each in how]
    monkeypatch.setattr(model, "cache", Cache({}))
    for _ in range(2):
        for each, expected in zip(how, alone, strict=True):
            assert model.encode_images(picture, **each).equal(expected)
    assert not alone[1].equal(alone[2]) and alone[0].equal(alone[3])
