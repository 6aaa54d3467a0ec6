"""CLIP score (Hessel et al., EMNLP 2021), as the reference evaluator computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image

from piebench_eval.loading import explained_loading, load_complete

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def clip_similarity(image: torch.Tensor, text: torch.Tensor) -> float:
    """100 x the cosine of two embeddings ``[width]``, at least 0.

    >>> clip_similarity(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]))
    100.0
    """
    return max(0.0, float(100 * torch.nn.functional.cosine_similarity(image, text, dim=0)))


class ClipFeatures:
    """The CLIP model that both embeddings come from."""

    def __init__(self, model: str, device: torch.device):
        """Load the network.

        Args:
            model: a transformers CLIP, directory or hub id.
            device: where to put it.

        Raises:
            PiebenchError: the model cannot be loaded.
        """
        from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

        with explained_loading("--clip", model, "a CLIP directory or hub id"):
            self._clip = load_complete(CLIPModel, model, device, torch_dtype=torch.float32)
            # The torchvision processor differs by a grey level here and there: up to 0.02 in the score.
            self._processor = CLIPImageProcessorPil.from_pretrained(model)
            self._tokenizer = CLIPTokenizer.from_pretrained(model)
        # 2 is transformers' word for "pool at the largest token id", as CLIP itself does; the id of the end
        # token would pool a cut prompt, which has none, at its start token.
        self._clip.text_model.eos_token_id = 2
        self._device = device

    @torch.no_grad()
    def image(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Embed a picture ``[height, width, 3]``; returns ``[width]``."""
        pixels = self._processor(Image.fromarray(image), return_tensors="pt").pixel_values
        return self._clip.get_image_features(pixel_values=pixels.to(self._device)).pooler_output[0]

    @torch.no_grad()
    def text(self, prompt: str) -> torch.Tensor:
        """Embed a prompt; returns ``[width]``.

        An over-long prompt is cut behind its 77th token, so it loses its end token; the embedding is then
        read at the largest remaining token id. The reference does so, and a published score has it.
        """
        ids = self._tokenizer(prompt, return_tensors="pt", verbose=False).input_ids
        ids = ids[:, : self._clip.config.text_config.max_position_embeddings]
        return self._clip.get_text_features(input_ids=ids.to(self._device)).pooler_output[0]
