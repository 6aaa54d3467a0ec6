"""Prompt-to-Prompt written the plain way: one sample, all four rows at every step, every map materialised.

An independent second opinion on the edit loop. It shares with the package the schedule, the text
embeddings and the plan of words; whatever the edit loop leaves out or folds together is spelled out here.
"""

import torch
from torch.nn import functional

from piebench_eval.methods.p2p import plan_words

GUIDANCE = 7.5


class PlainProcessor:
    """Explicit softmax attention with Prompt-to-Prompt's edits on rows [su, tu, sc, tc]."""

    def __init__(self, state, cross):
        self.state, self.cross = state, cross

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        rows = hidden_states.shape[0]
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        q, k, v = (x.reshape(rows, x.shape[1], attn.heads, -1).permute(0, 2, 1, 3) for x in (q, k, v))
        maps = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)
        if rows == 4:
            self.state.edit(maps, self.cross)
        out = (maps @ v).permute(0, 2, 1, 3).reshape(rows, -1, attn.heads * v.shape[-1])
        return attn.to_out[1](attn.to_out[0](out))


class PlainState:
    """Step counter, word plan and the stored maps."""

    def __init__(self, plan, settings, steps, latent_side):
        self.plan, self.settings, self.steps, self.side = plan, settings, steps, latent_side
        self.step, self.stored = 0, []

    def edit(self, maps, cross):
        size = maps.shape[2]
        if cross:
            if self.step < int(self.settings.cross_replace_steps * (self.steps + 1)):
                matrix, taken, equalizer = (
                    torch.as_tensor(x) for x in (self.plan.matrix, self.plan.taken, self.plan.equalizer)
                )
                maps[3] = (maps[2] @ matrix * taken + maps[3] * (1 - taken)) * equalizer
            if size == (self.side // 4) ** 2:
                self.stored.append(maps[2:].clone())
        elif size <= (self.side // 2) ** 2 and self.step < int(self.settings.self_replace_steps * self.steps):
            maps[3] = maps[2]

    def blend(self, latents):
        if self.plan.blend is None or self.step < int(self.settings.blend_start * self.steps):
            return latents
        words = torch.as_tensor(self.plan.blend)
        maps = torch.stack(self.stored)  # [layers and steps, 2, heads, positions, tokens]
        maps = (maps * words[None, :, None, None]).sum(-1).mean(dim=(0, 2))
        maps = maps.reshape(2, 1, self.side // 4, self.side // 4)
        maps = functional.max_pool2d(maps, 3, 1, 1)
        maps = functional.interpolate(maps, size=latents.shape[2:])
        inside = maps / maps.amax(dim=(2, 3), keepdim=True) > self.settings.blend_threshold
        inside = (inside[0] | inside[1]).float()
        return latents[:1] + inside * (latents - latents[:1])


def move(x, noise, alpha, alpha_next):
    image = (x - (1 - alpha) ** 0.5 * noise) / alpha**0.5
    return alpha_next**0.5 * image + (1 - alpha_next) ** 0.5 * noise


@torch.no_grad()
def plain_edit(backbone, schedule, sample, z0, inversion, settings):
    """Edited latents of one sample, for the inversions ``ddim`` and ``direct``; ``z0``: ``[1, 4, h, w]``."""
    plan = plan_words(sample, backbone.tokenizer, settings)
    state = PlainState(plan, settings, schedule.steps, z0.shape[-1])
    source, target, empty = backbone.embed_prompts([sample.source_prompt, sample.target_prompt, ""])
    original = dict(backbone.unet.attn_processors)
    backbone.unet.set_attn_processor({n: PlainProcessor(state, "attn2" in n) for n in original})
    try:
        levels = [z0]
        for k, t in enumerate(schedule.timesteps):
            noise = backbone.unet(levels[-1], t, source[None]).sample
            levels.append(move(levels[-1], noise, schedule.alphas[k], schedule.alphas[k + 1]))
        prompts = torch.stack([empty, empty, source, target])
        x = levels[-1].repeat(2, 1, 1, 1)
        for step in range(schedule.steps):
            state.step, k = step, schedule.steps - step
            noise = backbone.unet(x.repeat(2, 1, 1, 1), schedule.timesteps[k - 1], prompts).sample
            noise = noise[:2] + GUIDANCE * (noise[2:] - noise[:2])
            x = move(x, noise, schedule.alphas[k], schedule.alphas[k - 1])
            if inversion == "direct":
                offset = levels[k - 1] - x[:1]
                x = torch.cat([x[:1] + offset, x[1:]])
            x = state.blend(x)
    finally:
        backbone.unet.set_attn_processor(original)
    return x[1:]
