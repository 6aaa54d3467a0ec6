"""Decoding whatever fits."""

import pytest
import torch

from piebench_eval.errors import PiebenchWarning
from piebench_eval.models.decoding import decode_with_fallback, to_host


@pytest.fixture(scope="module")
def latents():
    return torch.randn(5, 4, 16, 16, generator=torch.Generator().manual_seed(0))


class ShortOfMemory:
    """An autoencoder that fits no more than some latents' area at a time."""

    def __init__(self, vae, largest, error=None):
        self._vae, self._largest, self.asked = vae, largest, []
        self._error = error or torch.OutOfMemoryError()

    def __getattr__(self, name):
        return getattr(self._vae, name)

    def __setattr__(self, name, value):
        target = self if name.startswith("_") or name == "asked" else self._vae
        object.__setattr__(target, name, value)

    def decode(self, part):
        self.asked.append(len(part))
        if len(part) * part[0, 0].numel() > self._largest and not self._vae.use_tiling:
            raise self._error
        return self._vae.decode(part)


@torch.no_grad()
def test_a_batch_is_halved_until_it_fits(model, latents):
    whole = torch.cat([model.vae.decode(latent[None]).sample for latent in latents])
    vae = ShortOfMemory(model.vae, largest=2 * 16 * 16)
    pixels = decode_with_fallback(vae, latents, batch=4)
    assert vae.asked == [4, 2, 2, 1]
    torch.testing.assert_close(pixels, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("library", ["CUDA error: CUBLAS", "cuDNN error: CUDNN"])
@torch.no_grad()
def test_a_library_without_memory_halves_the_batch_too(model, latents, library):
    error = RuntimeError(f"{library}_STATUS_ALLOC_FAILED when calling create(handle)")
    vae = ShortOfMemory(model.vae, largest=2 * 16 * 16, error=error)
    assert len(decode_with_fallback(vae, latents, batch=4)) == 5
    assert vae.asked == [4, 2, 2, 1]


@torch.no_grad()
def test_what_a_failed_call_held_is_given_back(model, latents, monkeypatch):
    vae, emptied = ShortOfMemory(model.vae, largest=2 * 16 * 16), []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(len(vae.asked)))
    decode_with_fallback(vae, latents, batch=4)
    assert emptied == [1], "after the call that failed, before those that fit"


@torch.no_grad()
def test_any_other_error_is_one(model, latents):
    vae = ShortOfMemory(model.vae, largest=0, error=RuntimeError("sizes do not match"))
    with pytest.raises(RuntimeError, match="sizes do not match"):
        decode_with_fallback(vae, latents, batch=4)


@torch.no_grad()
def test_a_picture_that_does_not_fit_is_decoded_in_tiles(model, latents):
    whole = model.vae.decode(latents[:1]).sample
    with pytest.warns(PiebenchWarning, match="in tiles"):
        pixels = decode_with_fallback(ShortOfMemory(model.vae, largest=100), latents[:1], batch=1)
    assert pixels.shape == whole.shape and not torch.equal(pixels, whole)
    assert not model.vae.use_tiling, "the next picture may fit as a whole"


def test_pictures_come_to_main_memory():
    images = torch.arange(12).reshape(1, 3, 2, 2).permute(0, 2, 3, 1)
    assert torch.equal(to_host(images), images) and to_host(images).is_contiguous()
