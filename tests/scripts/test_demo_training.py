"""The parts of the demo models' training that need no hours."""

import numpy as np
import pytest
import torch

from piebench_eval.demo.draw import draw
from piebench_eval.demo.scene import Scene, Thing, caption, random_scene
from scripts.demo_training import autoencoder, data, squeezenet, structure_vit, tokenizer


def test_every_word_of_the_world_is_one_token(tmp_path):
    made = tokenizer.save_tokenizer(tmp_path)
    for seed in range(100):
        said = caption(random_scene(np.random.default_rng(seed)), "a drawing of")
        assert len(made(said).input_ids) == len(said.split()) + 2
    assert len(made("zebra").input_ids) > 3
    assert made.decode(made("a zebra").input_ids, skip_special_tokens=True) == "a zebra"


def test_the_last_token_has_the_largest_id(tmp_path):
    # CLIP pools there, and the harness asks transformers to do so.
    made = tokenizer.save_tokenizer(tmp_path)
    assert made.eos_token_id == len(made) - 1


def test_training_and_measuring_scenes_differ():
    trained = {data.scene("train", index) for index in range(300)}
    held_out = {data.scene("held-out", index) for index in range(300)}
    assert len(trained & held_out) <= 3  # of which a few are empty backgrounds


def test_latents_get_mean_0_and_size_1():
    vae = autoencoder.new_autoencoder().eval()
    pictures = data.to_unit(np.stack([draw(data.scene("train", index)) for index in range(16)]))
    before = vae.decode(vae.encode(pictures).latent_dist.mean).sample
    autoencoder._normalise(vae, pictures)
    latents = vae.encode(pictures).latent_dist.mean * autoencoder.SCALE
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    after = vae.decode(vae.encode(pictures).latent_dist.mean).sample
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)


def test_patches_know_what_covers_them():
    shown = Scene((Thing("square", "red", radius=0.3),), "gray")
    shares = structure_vit.patch_coverage(shown).reshape(14, 14, 9)
    own = shares[..., 4]
    assert own[7, 7] == 1 and own[0, 0] == 0
    assert own.mean() == pytest.approx((2 * 0.82 * 0.3) ** 2, rel=0.1)
    torch.testing.assert_close(shares[1:, :, 1], own[:-1])
    torch.testing.assert_close(shares[:, :-1, 5], own[:, 1:])


def test_attributes_tell_scenes_apart():
    one, other = Scene((Thing("star", "red"),), "gray"), Scene((Thing("star", "blue"),), "gray", sketch=True)
    assert squeezenet.attributes(one).sum() == squeezenet.attributes(other).sum() - 1
    assert not torch.equal(squeezenet.attributes(one), squeezenet.attributes(other))


@pytest.mark.parametrize("purpose", ["train", "held-out"])
def test_a_number_names_one_scene(purpose):
    assert data.scene(purpose, 3) == data.scene(purpose, 3)
