"""Whether a model is of a family: known from its configurations and the headers of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from piebench_eval.models.families import Family

_INPUTS = {7: "an upscaler", 8: "InstructPix2Pix", 9: "an inpainting model"}
"""What takes more channels than a latent's four."""

_LORA = (".lora_A.", ".lora_B.", ".lora.down.", ".lora.up.", ".lora_down.", ".lora_up.", ".base_layer.")
"""How names go on where a LoRA is attached."""

NO_GUIDANCE_INPUT = (
    "unet/config.json has no time_cond_proj_dim: the UNet does not take the guidance scale as an input; set "
    "guidance_policy=classifier_free"
)
"""What is wrong with the policy ``embedded`` for such a model."""


def check_family(configs: Mapping[str, Mapping[str, Any]], model: str, family: Family) -> None:
    """Refuse a model that the inputs and the noise schedule of its family do not fit.

    Args:
        configs: by part (``unet``, ``vae``, ``text_encoder``, ``scheduler``) its configuration.
        model: what ``--model`` says.
        family: the family that it is taken for.

    Raises:
        PiebenchError: it names the file, the field and what is wrong with it.
    """
    for problem in _problems(configs, family):
        raise PiebenchError(f"--model {model}: {problem}; give {wanted_model(family)}")


def wanted_model(family: Family) -> str:
    """What to give in place of a model that is not of a family."""
    return f"a {family.title} model, such as {family.example}"


def check_shapes(
    part: str, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any], model: str
) -> None:
    """Refuse weights that a part's configuration does not fit, or that hold a LoRA.

    Args:
        part: ``unet``, ``vae`` or ``text_encoder``.
        shapes: by name the shape of each of its tensors.
        config: its configuration.
        model: what ``--model`` says.

    Raises:
        PiebenchError: it names the tensor, and what would work.
    """
    attached = next((name for name in shapes if any(sign in f"{name}." for sign in _LORA)), None)
    if attached is not None:
        raise PiebenchError(
            f"--model {model}: the weights in {part}/ were saved with a LoRA attached ({attached}); merge it "
            "first: pipe.fuse_lora(), pipe.unload_lora_weights(), pipe.save_pretrained(FOLDER)"
        )
    for name, axis, field in _TELLING.get(part, ()):
        expected = config.get(field)
        found = [shapes[key][axis] for key in shapes if key.endswith(name) and len(shapes[key]) > axis]
        wrong = [length for length in found if isinstance(expected, int) and length != expected]
        if wrong:
            raise PiebenchError(
                f"--model {model}: {part}/config.json says {field} {expected}, but the weights in "
                f"{part}/ have {wrong[0]} ({name}); give config and weights of one model"
            )


_TELLING = {
    "unet": (("conv_in.weight", 1, "in_channels"), ("attn2.to_k.weight", 1, "cross_attention_dim")),
    "vae": (("decoder.conv_in.weight", 1, "latent_channels"),),
    "text_encoder": (
        ("token_embedding.weight", 0, "vocab_size"),
        ("token_embedding.weight", 1, "hidden_size"),
        ("position_embedding.weight", 0, "max_position_embeddings"),
    ),
}
"""Tensors whose shape a field of the configuration gives: the name's end, the axis, the field."""


def _problems(configs: Mapping[str, Mapping[str, Any]], family: Family) -> Iterator[str]:
    unet, text_encoder = configs["unet"], configs["text_encoder"]
    channels, width = unet.get("in_channels", 4), unet.get("cross_attention_dim")
    for part, field, wanted in (
        ("unet", "_class_name", "UNet2DConditionModel"),
        ("vae", "_class_name", "AutoencoderKL"),
    ):
        if (kind := configs[part].get(field, wanted)) != wanted:
            yield f"{part}/config.json says {field} {kind}, not {wanted}"
    kind = str(text_encoder.get("model_type", "clip_text_model"))
    if not kind.startswith("clip"):
        yield f"text_encoder/config.json says model_type {kind}, which is not CLIP's"
    if unet.get("addition_embed_type") and family.name != "sdxl":
        yield (
            f"unet/config.json says addition_embed_type {unet['addition_embed_type']}: the UNet wants more "
            "than a timestep and a text embedding (Stable Diffusion XL?)"
        )
    if unet.get("time_cond_proj_dim") and family.name != "lcm":
        yield (
            f"unet/config.json says time_cond_proj_dim {unet['time_cond_proj_dim']}: the UNet takes the "
            "guidance scale as an input (a latent consistency model? then set family=lcm)"
        )
    for field in ("class_embed_type", "num_class_embeds", "encoder_hid_dim"):
        if unet.get(field):
            yield f"unet/config.json says {field} {unet[field]}: the UNet wants more than a text embedding"
    if channels != 4:
        kind = _INPUTS.get(channels, "a model of another kind")
        yield f"unet/config.json says in_channels {channels}, not 4: {kind}"
    latents = configs["vae"].get("latent_channels", 4)
    if latents != 4:
        yield f"vae/config.json says latent_channels {latents}, not 4"
    hidden = text_encoder.get("hidden_size", width)
    if family.name == "sdxl":
        hidden += configs["text_encoder_2"].get("hidden_size", 0)
    if width is not None and width != hidden:
        yield (
            f"unet/config.json says cross_attention_dim {width}, but text_encoder/config.json hidden_size "
            f"{hidden}: they are not of one model"
        )
    activation = text_encoder.get("hidden_act", "quick_gelu")
    if activation not in ("quick_gelu", "gelu"):
        yield f"text_encoder/config.json says hidden_act {activation}, which no CLIP has"
    prediction = configs["scheduler"].get("prediction_type", "epsilon")
    if prediction != family.predicts and family.predicts == "epsilon":
        yield (
            f"scheduler/scheduler_config.json says prediction_type {prediction!r}, and the inversions here "
            "need a model that predicts epsilon"
        )
