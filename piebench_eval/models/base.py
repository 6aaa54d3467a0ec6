"""A diffusion model as the inversions and the edit loop see it; each family has a file with its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models.attention import attention_layers, controlled_attention
from piebench_eval.models.cache import Cache, CacheEntry
from piebench_eval.models.decoding import GPU_BATCH, decode_with_fallback, grey_levels, to_host, warn
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.onednn import without_onednn
from piebench_eval.models.unet_pass import KeptBeginning, RowEnd, RowFork, UNetPass
from piebench_eval.tensors import device_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from numpy.typing import NDArray

    from piebench_eval.models.attention import AttentionHook
    from piebench_eval.models.conditioning import Conditioning
    from piebench_eval.models.families import Family
    from piebench_eval.models.image_encoder import ImageEncoder
    from piebench_eval.pictures import GreyLevels, PixelOverflow, Posterior


HOST = torch.device("cpu")


@dataclass(kw_only=True)
class DiffusionModel(ABC):
    """A denoiser, an autoencoder, text encoders and tokenizers of one model on one device.

    Latents and all arithmetic between calls stay in float32 whatever the precision: half precision is
    for the denoiser and the text encoders alone, and the autoencoder always runs in float32, because a
    bfloat16 autoencoder cannot tell neighbouring grey levels apart and would cost every method PSNR.

    Attributes:
        family: the family, which says what its outputs mean.
        vae: ``AutoencoderKL``.
        tokenizer: the ``CLIPTokenizer`` whose tokens the cross-attention maps are of.
        alphas_cumprod: cumulative alphas of the 1000 training timesteps: numbers of the host, which
            schedules are made of; empty where they are made of something else.
        scheduler: the configuration of its scheduler.
        device: where the weights lie.
        evaluations: evaluations counted since the counter was last replaced.
        cache: where ``cached`` keeps results for the next combination; without one everything is computed.
        image_encoders: CLIP image encoders that inversions read pictures by, by name, once they are loaded.
        offload_text_encoders: text encoders are on the device only from a new prompt to the next prediction,
            and on the CPU else.
        deterministic: whether no number of CPU threads changes a bit: the networks' layers are such.
        row_end: where some rows of the coming calls end, see ``rows_changing``.
        row_fork: where rows of the same latents part, likewise.
    """

    family: ClassVar[Family]
    vae: Any
    tokenizer: Any
    device: torch.device
    alphas_cumprod: Sequence[float] = ()
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    evaluations: EvaluationCounter = field(default_factory=EvaluationCounter)
    cache: Cache | None = None
    image_encoders: dict[str, ImageEncoder] = field(default_factory=dict)
    offload_text_encoders: bool = False
    deterministic: bool = False
    row_end: RowEnd | None = None
    row_fork: RowFork | None = None

    @classmethod
    def from_parts(cls, index: Mapping[str, Any], **parts: Any) -> Self:
        """Put a loaded model together.

        Args:
            index: its ``model_index.json``; empty where there is none.
            parts: networks and tokenizers by the names of their folders, and this class's own fields.
        """
        return cls(**parts)

    @property
    @abstractmethod
    def denoiser(self) -> Any:
        """The network that is called in every step: a UNet or a transformer."""

    @property
    def dtype(self) -> torch.dtype:
        """The type that the denoiser computes in; its own property looks through all of its modules."""
        parameters: Iterator[torch.nn.Parameter] = self.denoiser.parameters()
        return next(each.dtype for each in parameters if each.is_floating_point())

    @property
    @abstractmethod
    def text_encoders(self) -> dict[str, Any]:
        """The text encoders by the names of their parts."""

    @property
    def text_tokenizers(self) -> list[tuple[Any, int]]:
        """The tokenizers whose tokens a prompt's embeddings are of, in their order, and how many of each.

        Two that have the same tokens stand here as one. Embeddings behind all these are of no word.
        """
        return [(self.tokenizer, self.tokenizer.model_max_length)]

    @property
    def prompt_tokenizers(self) -> list[tuple[Any, int]]:
        """All tokenizers, likewise: prompts that have the same tokens by all of them are the same text."""
        return self.text_tokenizers

    @abstractmethod
    def embed_prompts(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """Encode prompts, padded and truncated to the tokenizer's length.

        Args:
            prompts: the prompts.
            size: height and width in pixels of the images to make, for models that are conditioned on it;
                the model's own resolution if None.

        Returns:
            One row per prompt, float32.
        """

    def embed_uncond(self, count: int, size: tuple[int, int] | None = None) -> Conditioning:
        """What unconditional rows are conditioned on, so many times: the empty prompt unless overridden."""
        return self.embed_prompts([""] * count, size)

    @property
    def uncond_is_empty_prompt(self) -> bool:
        """Whether ``embed_uncond`` is the embedding of the empty prompt."""
        return True

    @abstractmethod
    def denoise(self, latents: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Call the denoiser, see ``predict``; latents and conditioning are converted to its type."""

    def row_places(self) -> list[str]:
        """The layers behind which rows of a call can end, in the order in which they run; none by default.

        A family that has any calls ``network`` in ``denoise``.
        """
        return []

    def fork_place(self) -> str | None:
        """The last of them up to which rows of the same latents are the same; None if they never are."""
        return None

    @property
    def network(self) -> Any:
        """What ``denoise`` calls: the denoiser, or in its place one in whose passes rows part or end."""
        plain = self.row_end is None and self.row_fork is None
        return self.denoiser if plain else UNetPass(self.denoiser, self.row_end, self.row_fork)

    @contextmanager
    def rows_changing(self, end: RowEnd | None, fork: RowFork | None = None) -> Iterator[None]:
        """Let rows of the calls within begin as one, and end early; ``predict`` returns those that do not."""
        self.row_end, self.row_fork = end, fork
        try:
            yield
        finally:
            self.row_end = self.row_fork = None

    @contextmanager
    def beginning_kept(self, kept: KeptBeginning | None, samples: Sequence[int]) -> Iterator[None]:
        """Take what all calls at the same latents and time begin with from the first of them.

        Args:
            kept: new for these latents and this time; None to keep nothing.
            samples: of the rows within; in the first call all samples of the batch, in order.
        """
        place = self.fork_place()
        if kept is None or place is None:
            yield
            return
        rows = device_index(samples, self.device)
        with self.rows_changing(None, RowFork(place, rows, rows, kept)):
            yield

    def image_tokens(self, pictures: Sequence[NDArray[np.uint8]], encoder: str) -> torch.Tensor:
        """Tokens of pictures by a CLIP image encoder, see ``ImageEncoder.tokens``.

        Args:
            pictures: each ``[height, width, 3]``.
            encoder: directory or hub id; loaded unless it is.

        Raises:
            PiebenchError: it cannot be loaded.
        """
        from piebench_eval.models.image_encoder import load_image_encoder

        if encoder not in self.image_encoders:
            self.image_encoders[encoder] = load_image_encoder(encoder, self.device)
        return self.image_encoders[encoder].tokens(pictures)

    def attention_through(
        self, hook: AttentionHook, latent_shape: tuple[int, int]
    ) -> AbstractContextManager[None]:
        """Route all attention layers of the denoiser through a hook, for latents of a height and width."""
        layers = attention_layers(self.denoiser, latent_shape)
        return controlled_attention(self.denoiser, hook, layers)

    def place_text_encoders(self, device: torch.device) -> None:
        """Move text encoders to a device, if they are offloaded and not there; no bit of them changes."""
        if not self.offload_text_encoders:
            return
        for encoder in self.text_encoders.values():
            if encoder.device != device:
                encoder.to(device)

    @property
    def vae_factor(self) -> int:
        """Side of an image divided by the side of its latent (8 for Stable Diffusion)."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_resolution(self) -> int:
        """Side in pixels of the images it was trained on (512 for Stable Diffusion 1.x, 1024 for XL)."""
        return int(self.denoiser.config.sample_size) * self.vae_factor

    @property
    def largest_resolution(self) -> int | None:
        """Longest side in pixels that it has positions for; None where it has none to run out of."""
        return None

    @property
    def _latent_range(self) -> tuple[float, float]:
        """What is taken from the autoencoder's latents, and what they are then multiplied by."""
        return getattr(self.vae.config, "shift_factor", None) or 0.0, self.vae.config.scaling_factor

    @torch.no_grad()
    def encode_images(
        self,
        images: Sequence[NDArray[np.uint8]],
        posterior: Posterior = "mean",
        seed: int = 0,
        noise_on_device: bool = False,
        added_shift: bool = False,
    ) -> torch.Tensor:
        """Encode images to the autoencoder's posterior, scaled as the denoiser expects it.

        Args:
            images: each ``[height, width, 3]``.
            posterior: its mean, or a sample: mean + exp(logvar / 2) noise, where diffusers clamps logvar to
                -30 to 20 (Kingma and Welling, Auto-Encoding Variational Bayes, 2014).
            seed: of each image's noise, the first that a generator draws.
            noise_on_device: that generator is the device's, not the CPU's.
            added_shift: the autoencoder's shift is added behind the scale, not taken off before it.

        Returns:
            Latents of shape ``[images, channels, height / 8, width / 8]``, float32.
        """
        # Contiguous: PyTorch's CPU group norm loses three digits on large channels-last images.
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()

        def encode() -> dict[str, torch.Tensor]:
            scaled = pixels.to(self.device).float() / 127.5 - 1
            # One by one: the autoencoder needs the most memory of all, and gains little from a batch.
            posteriors = [self.vae.encode(image[None]).latent_dist for image in scaled]
            generator = self.device if noise_on_device else HOST
            latents = [
                each.mean if posterior == "mean" else _sample(each, seed, generator) for each in posteriors
            ]
            shift, scale = self._latent_range
            unscaled = torch.cat(latents)
            return {"latents": unscaled * scale + shift if added_shift else (unscaled - shift) * scale}

        drawn = {"posterior": posterior, "seed": seed, "noise_on_device": noise_on_device}
        determinants = {} if posterior == "mean" else drawn
        determinants |= {"added_shift": True} if added_shift else {}
        return self.cached("image", encode, determinants, [pixels])["latents"]

    @torch.no_grad()
    def decode_latents(
        self,
        latents: torch.Tensor,
        overflow: PixelOverflow = "clamp",
        notify: Callable[[str], None] = warn,
        whole: GreyLevels = "truncate",
    ) -> NDArray[np.uint8]:
        """Decode latents to images of whole grey levels.

        Args:
            latents: ``[images, 4, h, w]``.
            overflow: see ``grey_levels``.
            notify: called with a note for the user; warns by default.
            whole: see ``grey_levels``.

        Returns:
            Images of shape ``[images, 8 h, 8 w, 3]``.
        """
        shift, scale = self._latent_range
        unscaled = latents / scale + shift
        # One by one on a CPU, where a batch gains nothing and moves the last bits.
        batch = GPU_BATCH if self.device.type == "cuda" else 1
        pixels = decode_with_fallback(self.vae, unscaled, batch, notify)
        return to_host(grey_levels(pixels, overflow, whole).permute(0, 2, 3, 1)).numpy()

    def cached(
        self,
        kind: str,
        compute: Callable[[], dict[str, torch.Tensor]],
        settings: Mapping[str, Any],
        tensors: Sequence[torch.Tensor],
        axis: int = 0,
        samples: Sequence[int] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compute something for samples of a batch, unless the cache has it for all of them.

        A result is reused wherever ``kind``, ``settings`` and a sample's ``tensors`` are the same: they must
        contain everything that it depends on besides the model.

        Args:
            kind: name of what is computed, unique to its function.
            compute: computes it for all of these samples: tensors by name.
            settings: values that the result depends on, as JSON has them.
            tensors: tensors that it depends on, each ``[samples, ...]``.
            axis: the axis of samples in the results.
            samples: their places in the batch; the whole batch if None.

        Returns:
            What ``compute`` returns, or returned when it was called before.
        """
        if self.cache is None:
            return compute()
        of_samples = list(zip(*tensors, strict=True))
        keys = [self.cache.key(kind, settings, of_sample) for of_sample in of_samples]
        places = range(len(keys)) if samples is None else samples
        known = [entry for key in keys if (entry := self.cache.get(key)) is not None]
        if len(known) == len(keys):
            for sample, entry in zip(places, known, strict=True):
                self.evaluations.count_reused(sample, entry.forward, entry.backward)
            return {
                name: torch.stack([entry.tensors[name] for entry in known], axis).to(self.device)
                for name in known[0].tensors
            }
        before = self.evaluations.snapshot()
        result = compute()
        for index, (sample, key) in enumerate(zip(places, keys, strict=True)):
            forward, backward = self.evaluations.since(before, sample)
            of_sample = {name: tensor.select(axis, index) for name, tensor in result.items()}
            self.cache.put(key, CacheEntry(of_sample, forward, backward))
        return result

    def predict(
        self,
        latents: torch.Tensor,
        timestep: float,
        conditioning: Conditioning,
        samples: Sequence[int],
    ) -> torch.Tensor:
        """Call the denoiser: the one place that does, so that every evaluation is counted.

        Args:
            latents: ``[rows, channels, h, w]``; a row is one latent with one text.
            timestep: the model's time, the same for all rows; a whole number stays one.
            conditioning: of each row.
            samples: for each row, the place in the batch of the sample that its evaluation is counted for.

        Returns:
            What the model predicts, see ``Family.predicts``; shape and dtype of ``latents``, without the rows
            that have ended.

        Raises:
            PiebenchError: the family has ``row_places``, and its ``denoise`` does not call ``network``.
        """
        self.place_text_encoders(HOST)
        # Filled on the device: diffusers would copy a number there, and wait for it.
        kind = torch.int64 if isinstance(timestep, int) else torch.float32
        time = torch.full((), timestep, dtype=kind, device=latents.device)
        with without_onednn(self.deterministic):
            output = self.denoise(latents, time, conditioning)
        if self.row_end is not None and len(output) == len(latents):
            raise PiebenchError(
                f"{type(self).__name__}.denoise: no row has ended, though the model has row_places; it must "
                "call self.network in the place of its denoiser"
            )
        self.evaluations.count(samples, output)
        return output.to(latents.dtype)


def _sample(posterior: Any, seed: int, device: torch.device) -> torch.Tensor:
    """A sample ``[1, channels, h, w]`` of diffusers' ``DiagonalGaussianDistribution``, drawn on a device."""
    generator = torch.Generator(device).manual_seed(seed)
    noise = torch.randn(posterior.mean.shape, generator=generator, device=device)
    sample: torch.Tensor = posterior.mean + posterior.std * noise.to(posterior.mean)
    return sample
