"""Stable Diffusion 3: a transformer over the tokens of picture and text, conditioned on two CLIPs and T5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn.functional import pad

from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.clip_pair import embed_one_by_one, encode_by_both
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.sd1 import padded_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.models.families import Family


@dataclass(kw_only=True)
class StableDiffusion3(DiffusionModel):
    """Stable Diffusion 3 and 3.5 (Esser et al., ICML 2024).

    Attributes:
        transformer: ``SD3Transformer2DModel``.
        text_encoder: ``CLIPTextModelWithProjection``.
        text_encoder_2: ``CLIPTextModelWithProjection``.
        text_encoder_3: ``T5EncoderModel``; None where the model goes without.
        tokenizer_2: ``CLIPTokenizer`` of the second; both have the same tokens, and pad differently.
        tokenizer_3: ``T5Tokenizer`` of the third.
        clip_length: how many of CLIP's tokens a prompt has, padded or truncated; the tokenizer's if None.
        t5_length: the same of T5's; without T5, how many zeros stand in their place; 256 if None.
    """

    family: ClassVar[Family] = FAMILIES["sd3"]
    transformer: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer_2: Any
    text_encoder_3: Any = None
    tokenizer_3: Any = None
    clip_length: int | None = None
    t5_length: int | None = None

    @property
    def denoiser(self) -> Any:
        """The transformer."""
        return self.transformer

    @property
    def text_encoders(self) -> dict[str, Any]:
        """Both of CLIP's text encoders, and T5's if there is one."""
        clips = {"text_encoder": self.text_encoder, "text_encoder_2": self.text_encoder_2}
        return clips if self.text_encoder_3 is None else {**clips, "text_encoder_3": self.text_encoder_3}

    @property
    def text_tokenizers(self) -> list[tuple[Any, int]]:
        """CLIP's, then T5's if there is one."""
        clip = (self.tokenizer, self._clip_length)
        return [clip] if self.text_encoder_3 is None else [clip, (self.tokenizer_3, self._t5_length)]

    @property
    def largest_resolution(self) -> int | None:
        """The side of its table of positions (3072 for Stable Diffusion 3 and 3.5 large)."""
        config = self.transformer.config
        return int(config.pos_embed_max_size) * int(config.patch_size) * self.vae_factor

    @property
    def _clip_length(self) -> int:
        return int(self.clip_length or self.tokenizer.model_max_length)

    @property
    def _t5_length(self) -> int:
        return self.t5_length or self.family.t5_length

    def embed_prompts(self, prompts: Sequence[str], size: tuple[int, int] | None = None) -> Conditioning:
        """Encode prompts by all encoders (section 3 and figure 2); ``size`` does not count.

        Returns:
            Tokens ``[prompts, 333, width]``: the last but one hidden states of both CLIPs, one beside the
            other and padded with zeros to the width, and behind them T5's last hidden states, of padding
            too; or zeros, where the model goes without T5. Pooled ``[prompts, width]``: the projected
            embeddings of both CLIPs, one beside the other.
        """
        return Conditioning(*embed_one_by_one(prompts, self._embed))

    @torch.no_grad()
    def _embed(self, prompt: str) -> dict[str, torch.Tensor]:
        ids = [
            padded_tokens(tokenizer, prompt, self._clip_length)
            for tokenizer in (self.tokenizer, self.tokenizer_2)
        ]
        if self.text_encoder_3 is not None:
            ids.append(padded_tokens(self.tokenizer_3, prompt, self._t5_length))

        def encode() -> dict[str, torch.Tensor]:
            self.place_text_encoders(self.device)
            clips = self.text_encoder, self.text_encoder_2
            states, outputs = encode_by_both(clips, ids[:2], self.device)
            width = self.transformer.config.joint_attention_dim
            if self.text_encoder_3 is None:
                of_t5 = states.new_zeros(1, self._t5_length, width)
            else:
                of_t5 = self.text_encoder_3(ids[2].to(self.device)).last_hidden_state.float()
            tokens = torch.cat([pad(states, (0, width - states.shape[-1])), of_t5], dim=1)
            pooled = torch.cat([output.text_embeds.float() for output in outputs], dim=-1)
            return {"tokens": tokens, "pooled": pooled}

        return self.cached("text", encode, {"t5_length": self._t5_length}, ids)

    def denoise(self, latents: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Call the transformer."""
        dtype = self.dtype
        assert conditioning.pooled is not None, "embed_prompts makes pooled embeddings"
        return self.transformer(
            latents.to(dtype),
            conditioning.tokens.to(dtype),
            conditioning.pooled.to(dtype),
            time.expand(len(latents)),
            return_dict=False,
        )[0]
