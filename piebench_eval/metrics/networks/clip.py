"""The networks behind CLIP scores: transformers' and open_clip's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import OPEN_CLIP, open_clip_parts
from piebench_eval.models.decoding import warn
from piebench_eval.models.vocabulary import check_tokenizer, check_vocabulary_files
from piebench_eval.models.weights import require_safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

_QUICK = "-quickgelu"


class Clip(Protocol):
    """The interface of a CLIP network."""

    def pixels(self, images: Sequence[NDArray[np.uint8]], processor: str) -> torch.Tensor:
        """Preprocess images ``[height, width, 3]``; returns ``[images, 3, side, side]``."""
        ...

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed images ``[images, 3, side, side]``; returns ``[images, width]``."""
        ...

    def texts(self, prompts: Sequence[str], keep_end: bool) -> torch.Tensor:
        """Embed prompts; returns ``[prompts, width]``.

        Args:
            prompts: the texts.
            keep_end: whether a prompt that is too long keeps its end token.
        """
        ...


def load_clip(name: str, activation: str, device: torch.device, allow_pickle: bool = False) -> Clip:
    """Load a CLIP.

    Args:
        name: transformers directory or hub id, or ``open_clip:MODEL/WEIGHTS``.
        activation: ``clip.activation`` of the protocol.
        device: where to put it.
        allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.

    Raises:
        PiebenchError: it cannot be loaded, or its weights are in pickle files.
    """
    clip: Clip
    if name.startswith(OPEN_CLIP):
        clip = OpenClip(name, device, allow_pickle)
    else:
        clip = TransformersClip(name, activation, device, allow_pickle)
    _check_texts(clip, name)
    return clip


def _check_texts(clip: Clip, name: str) -> None:
    """Check that a CLIP embeds a text nearer to itself than to noise.

    Raises:
        PiebenchError: it does not: the tokenizer, the weights or both are not what they should be.
    """
    import torch

    with torch.inference_mode():
        cat, again, noise = torch.nn.functional.normalize(clip.texts(["a cat", "a cat", "qx 7 # zv"], True))
        itself, other = float(cat @ again), float(cat @ noise)
    # nan compares as false.
    if not itself > other + 1e-6:
        raise PiebenchError(
            f"--clip {name}: embeds the text 'a cat' no nearer to itself ({itself:.4f}) than to noise "
            f"({other:.4f}); its tokenizer and its weights do not fit each other, or are damaged: copy them "
            "again from where the network comes from"
        )


class TransformersClip:
    """A CLIP that transformers loads, used as the reference evaluator uses it."""

    def __init__(self, model: str, activation: str, device: torch.device, allow_pickle: bool):
        """Load the network; see ``load_clip``."""
        import torch
        from transformers import CLIPImageProcessor, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

        from piebench_eval.metrics.networks.class_token import (
            QuickGELU,
            embed_class_token_only,
            replace_activations,
        )
        from piebench_eval.models.from_pretrained import explained_loading
        from piebench_eval.models.hf_loading import load_network
        from piebench_eval.models.onednn import use_onednn_layers_where_faster

        wanted = "a CLIP directory or hub id"
        if Path(model).is_dir():
            check_vocabulary_files("--clip", model, Path(model), None)
        self._clip = load_network(CLIPModel, "--clip", model, wanted, device, allow_pickle)
        with explained_loading("--clip", model, wanted):
            self._pil = CLIPImageProcessorPil.from_pretrained(model)
            # It differs from PIL's by a grey level here and there: up to 0.02 in the score.
            self._torchvision = CLIPImageProcessor.from_pretrained(model)
            self._tokenizer = CLIPTokenizer.from_pretrained(model)
        embeddings = self._clip.config.text_config.vocab_size
        check_tokenizer("--clip", model, self._tokenizer, embeddings, read_at_end=True)
        replace_activations(self._clip, torch.nn.GELU if activation == "gelu" else QuickGELU)
        embed_class_token_only(self._clip)
        use_onednn_layers_where_faster(self._clip, device)
        # 2 is transformers' word for "pool at the largest token id", as CLIP itself does; the id of the end
        # token would pool a cut prompt, which has none, at its start token.
        self._clip.text_model.eos_token_id = 2
        self._device = device

    def pixels(self, images: Sequence[NDArray[np.uint8]], processor: str) -> torch.Tensor:
        """See ``Clip``."""
        pictures = [Image.fromarray(image) for image in images]
        if processor.startswith("tensor_"):
            return self._from_tensors(images, antialias=processor == "tensor_bicubic_antialiased")
        if processor == "torchvision":
            return self._torchvision(pictures, return_tensors="pt").pixel_values
        choice = {"resample": Image.Resampling.BILINEAR} if processor == "pil_bilinear" else {}
        return self._pil(pictures, return_tensors="pt", **choice).pixel_values

    def _from_tensors(self, images: Sequence[NDArray[np.uint8]], antialias: bool) -> torch.Tensor:
        """Resized as float tensors, without rounding to grey levels."""
        import torch
        from torch.nn import functional

        side = self._clip.config.vision_config.image_size
        mean, std = (
            torch.tensor(values)[:, None, None] for values in (self._pil.image_mean, self._pil.image_std)
        )
        resized = []
        for image in images:
            height, width = image.shape[:2]
            scale = side / min(height, width)
            size = (max(side, round(height * scale)), max(side, round(width * scale)))
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            pixels = functional.interpolate(pixels, size=size, mode="bicubic", antialias=antialias)[0]
            top, left = ((length - side) // 2 for length in size)
            pixels = pixels[:, top : top + side, left : left + side].clamp(0, 1)
            resized.append((pixels - mean) / std)
        return torch.stack(resized)

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """See ``Clip``."""
        return self._clip.get_image_features(pixel_values=pixels).pooler_output

    def texts(self, prompts: Sequence[str], keep_end: bool) -> torch.Tensor:
        """See ``Clip``.

        An over-long prompt is cut behind its 77th token by default, so it loses its end token; the embedding
        is then read at the largest remaining token id. The reference does so, and a published score has it.
        """
        import torch

        longest = self._clip.config.text_config.max_position_embeddings
        embeddings = []
        for prompt in prompts:  # one by one: padding would change the last bits
            ids = self._tokenizer(prompt, return_tensors="pt", verbose=False).input_ids
            if keep_end and ids.shape[1] > longest:
                ids = torch.cat([ids[:, : longest - 1], ids[:, -1:]], dim=1)
            ids = ids[:, :longest].to(self._device)
            embeddings.append(self._clip.get_text_features(input_ids=ids).pooler_output[0])
        return torch.stack(embeddings)


def _weights_file(model: str, weights: str) -> Path:
    """The file that open_clip reads for weights that it has no tag for; of a hub id, it is downloaded.

    Raises:
        OSError, ValueError: there is none; open_clip would use random weights.
    """
    import open_clip

    if model.startswith("hf-hub:"):
        return Path(open_clip.pretrained.download_pretrained_from_hf(model.removeprefix("hf-hub:")))
    if not model.startswith("local-dir:"):
        return Path(weights)
    found = open_clip.factory._find_checkpoint_in_dir(Path(model.removeprefix("local-dir:")))
    if found is None:
        raise ValueError("it holds no weights")
    return Path(found)


def _model_and_quickgelu(model: str, weights: str, known: dict[str, Any] | None) -> tuple[str, bool]:
    """open_clip's name of a model, and whether QuickGELU replaces the model's own activation.

    A file of weights does not say which activation they were trained with. ``MODEL-quickgelu`` does, for
    every model; without it, a warning says which is used.
    """
    import open_clip

    if known or not weights:
        return model, bool((known or {}).get("quick_gelu"))
    plain = model.removesuffix(_QUICK)
    if plain != model:
        return (model, False) if model in open_clip.list_models() else (plain, True)
    config = open_clip.get_model_config(model)
    if config is not None and not config.get("quick_gelu"):
        warn(
            f"--clip {OPEN_CLIP}{model}/{weights}: a file does not say which activation its weights were "
            f"trained with; GELU is computed, as {model} has it in open_clip. For QuickGELU (OpenAI's, "
            f"MetaCLIP's and DFN's weights) write {OPEN_CLIP}{model}{_QUICK}/{weights}"
        )
    return model, False


class OpenClip:
    """A CLIP that open_clip loads, with that package's preprocessing and tokenizer.

    The protocol's processor and activation have no effect; an over-long prompt keeps its end token.
    """

    def __init__(self, name: str, device: torch.device, allow_pickle: bool):
        """Load the network.

        Args:
            name: ``open_clip:MODEL/WEIGHTS``, such as ``open_clip:ViT-L-14/openai``; WEIGHTS may be a file,
                and MODEL may end with ``-quickgelu`` for weights trained with it.
                Or ``open_clip:local-dir:FOLDER`` with open_clip's configuration and weights, or
                ``open_clip:hf-hub:ID``.
            device: where to put it.
            allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.

        Raises:
            PiebenchError: it cannot be loaded, or its weights are in pickle files.
        """
        import open_clip

        from piebench_eval.models.from_pretrained import explained_loading
        from piebench_eval.models.onednn import use_onednn_layers_where_faster

        model, weights = open_clip_parts(name)
        if not weights and ":" not in model:
            raise PiebenchError(
                f"--clip {name}: write open_clip:MODEL/WEIGHTS, as in open_clip:ViT-L-14/openai"
            )
        wanted = "a model of open_clip.list_pretrained()"
        # OpenAI's weights want QuickGELU, whatever the model's own configuration says.
        known = open_clip.get_pretrained_cfg(model, weights) if weights else None
        model, quick = _model_and_quickgelu(model, weights, known)
        with explained_loading("--clip", name, wanted):
            if not known:
                require_safetensors("--clip", name, _weights_file(model, weights), allow_pickle)
            clip, _, self._transform = open_clip.create_model_and_transforms(
                model,
                pretrained=weights or None,
                device=device,
                weights_only=True,
                force_quick_gelu=quick,
            )
            self._tokenizer = open_clip.get_tokenizer(model)
        use_onednn_layers_where_faster(clip, device)
        self._clip: Any = clip.eval().requires_grad_(False)
        self._device = device

    def pixels(self, images: Sequence[NDArray[np.uint8]], processor: str) -> torch.Tensor:
        """See ``Clip``."""
        import torch

        return torch.stack([self._transform(Image.fromarray(image)) for image in images])

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """See ``Clip``."""
        return self._clip.encode_image(pixels)

    def texts(self, prompts: Sequence[str], keep_end: bool) -> torch.Tensor:
        """See ``Clip``."""
        return self._clip.encode_text(self._tokenizer(list(prompts)).to(self._device))
