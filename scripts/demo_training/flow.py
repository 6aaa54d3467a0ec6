"""Train the flow transformer of Stable Diffusion 3's classes, and its text encoders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import Attention
from scipy.special import ndtri
from torch import nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from piebench_eval.demo.embedded import DEMO_FLOW_T5_LENGTH
from piebench_eval.models.clip_pair import encode_by_both
from scripts.demo_training.clip import WIDTH
from scripts.demo_training.data import say, scene
from scripts.demo_training.loop import Training, train
from scripts.demo_training.unet import encode_all

STEPS, BATCH, RATE = 8400, 32, 1.2e-3
COMPILED = True
"""Takes half the time; on a CPU, some minutes and a C++ compiler come first."""
CLIP_LENGTH = 30
"""Tokens of a caption, padded: those of the longest."""
T5_LENGTH = DEMO_FLOW_T5_LENGTH
"""Zeros in the place of T5's tokens: the fewest that there can be."""
SHIFT = 2.0
"""Of the scheduler. Samples are as right with 1 and 2; Euler's inversion is 6 dB nearer with 2."""
LAYERS, HEADS, HEAD_WIDTH = 6, 5, 32
_DROPPED = 0.1  # share of captions left out, for classifier-free guidance


def new_transformer() -> SD3Transformer2DModel:
    """Stable Diffusion 3's transformer, small, for latents ``[4, 16, 16]``; positions are learned."""
    torch.manual_seed(0)
    width = HEADS * HEAD_WIDTH
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=LAYERS,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=HEADS,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=width,
        pooled_projection_dim=128,
        pos_embed_max_size=8,
        qk_norm="rms_norm",
    )
    _initialise(transformer)
    # The class keeps a table of sines as a buffer and saves it with the weights: it may as well be learned.
    table = transformer.pos_embed.pos_embed
    del transformer.pos_embed._buffers["pos_embed"]
    transformer.pos_embed.pos_embed = nn.Parameter(table)
    return transformer


def _initialise(transformer: SD3Transformer2DModel) -> None:
    """Blocks that begin as identities and an output that begins at nothing (Peebles & Xie, ICCV 2023)."""
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        if name.endswith(("norm1.linear", "norm1_context.linear", "norm_out.linear", "proj_out")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    for layer in (transformer.time_text_embed.timestep_embedder, transformer.time_text_embed.text_embedder):
        for linear in (layer.linear_1, layer.linear_2):
            nn.init.normal_(linear.weight, std=0.02)


def new_text_encoders(clip: CLIPModel, tuned: CLIPTextModel) -> list[CLIPTextModelWithProjection]:
    """The UNet's text encoder and the text half of CLIP, both with CLIP's projection."""
    encoders = []
    for text in (tuned, clip.text_model):
        encoder = CLIPTextModelWithProjection(clip.config.text_config)
        encoder.set_attn_implementation("eager")  # for the same reason as ExplicitAttention
        encoder.text_model.load_state_dict(text.state_dict(), strict=False)
        encoder.text_projection.load_state_dict(clip.text_projection.state_dict())
        encoders.append(encoder.float())
    return encoders


def embed(
    encoders: Sequence[nn.Module], tokenizer: CLIPTokenizer, captions: list[str], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What ``StableDiffusion3.embed_prompts`` makes of captions, with gradients: tokens and pooled."""
    said = tokenizer(captions, padding="max_length", max_length=CLIP_LENGTH, return_tensors="pt")
    states, outputs = encode_by_both(encoders, [said.input_ids] * 2, device)
    pooled = torch.cat([output.text_embeds.float() for output in outputs], dim=-1)
    return functional.pad(states, (0, 0, 0, T5_LENGTH)), pooled


def train_flow(work: Path, device: torch.device) -> None:
    """Train all three; the weights are found in ``flow/`` of the work folder."""
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    clip = CLIPModel.from_pretrained(work / "clip", torch_dtype=torch.float32)
    tuned = CLIPTextModel.from_pretrained(work / "text_encoder", torch_dtype=torch.float32)
    encoders = [encoder.to(device).train() for encoder in new_text_encoders(clip, tuned)]
    transformer = new_transformer().to(device)
    transformer.set_attn_processor(ExplicitAttention())
    called = torch.compile(transformer) if COMPILED else transformer
    latents = encode_all(work, device)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        numbers = rng.integers(len(latents), size=BATCH)
        captions = [
            "" if rng.random() < _DROPPED else say(scene("train", int(number)), rng) for number in numbers
        ]
        tokens, pooled = embed(encoders, tokenizer, captions, device)
        clean = latents[numbers].to(device)
        noise = torch.randn_like(clean)
        sigma = torch.from_numpy(sigmas(rng, len(numbers))).float().to(device)
        share = sigma[:, None, None, None]
        noised = (1 - share) * clean + share * noise
        velocity = called(noised, tokens, pooled, 1000 * sigma, return_dict=False)[0]
        return (velocity.float() - (noise - clean)).square().mean()

    groups = [(transformer, RATE), *((encoder, 2e-4) for encoder in encoders)]
    train(Training("flow", groups, loss, STEPS, seed=6, weight_decay=0.0), work, device)
    transformer.float().save_pretrained(work / "flow" / "transformer")
    for name, encoder in zip(("text_encoder", "text_encoder_2"), encoders, strict=True):
        encoder.float().save_pretrained(work / "flow" / name)


def sigmas(rng: np.random.Generator, count: int) -> np.ndarray:
    """Logit-normal shares of noise (Esser et al., ICML 2024, section 3.1), one of each quantile."""
    quantiles = (rng.permutation(count) + rng.uniform(size=count)) / count
    return 1 / (1 + np.exp(-ndtri(quantiles)))


class ExplicitAttention:
    """Joint attention as two products: on CPUs the fused one's backward pass is half as fast in bfloat16."""

    def __call__(
        self, attn: Attention, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens of the picture and those of the text after attending to both."""

        def heads(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        picture, text = hidden_states, encoder_hidden_states
        query = torch.cat(
            [attn.norm_q(heads(attn.to_q(picture))), attn.norm_added_q(heads(attn.add_q_proj(text)))], dim=2
        )
        key = torch.cat(
            [attn.norm_k(heads(attn.to_k(picture))), attn.norm_added_k(heads(attn.add_k_proj(text)))], dim=2
        )
        value = torch.cat([heads(attn.to_v(picture)), heads(attn.add_v_proj(text))], dim=2)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        joint = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        of_picture, of_text = joint.split([picture.shape[1], text.shape[1]], dim=1)
        return attn.to_out[0](of_picture), of_text if attn.context_pre_only else attn.to_add_out(of_text)
