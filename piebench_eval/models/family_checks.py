"""Whether a model is of a family: known from its configurations and the headers of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.models.flux_checks import flux_problems
from piebench_eval.models.sd3_checks import sd3_latent_channels, sd3_problems

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
        configs: by part (``unet``, ``vae``, ``text_encoder``, ``scheduler``, ...) its configuration.
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
        part: a part with weights, see ``Family.weights``.
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


_OF_TEXT = (
    ("token_embedding.weight", 0, "vocab_size"),
    ("token_embedding.weight", 1, "hidden_size"),
    ("position_embedding.weight", 0, "max_position_embeddings"),
)

_OF_T5 = (("shared.weight", 0, "vocab_size"), ("shared.weight", 1, "d_model"))

_TELLING = {
    "unet": (
        ("conv_in.weight", 1, "in_channels"),
        ("attn2.to_k.weight", 1, "cross_attention_dim"),
        ("add_embedding.linear_1.weight", 1, "projection_class_embeddings_input_dim"),
    ),
    "transformer": (
        ("pos_embed.proj.weight", 1, "in_channels"),
        ("x_embedder.weight", 1, "in_channels"),
        ("context_embedder.weight", 1, "joint_attention_dim"),
        ("text_embedder.linear_1.weight", 1, "pooled_projection_dim"),
    ),
    "vae": (("decoder.conv_in.weight", 1, "latent_channels"),),
    "text_encoder": _OF_TEXT,
    "text_encoder_2": (*_OF_TEXT, ("text_projection.weight", 0, "projection_dim"), *_OF_T5),
    "text_encoder_3": _OF_T5,
}
"""Tensors whose shape a field of the configuration gives: the name's end, the axis, the field."""


def _problems(configs: Mapping[str, Mapping[str, Any]], family: Family) -> Iterator[str]:
    yield from _of_parts(configs, family)
    if family.name == "sd3":
        yield from sd3_problems(configs, family)
    elif family.name == "flux":
        yield from flux_problems(configs, family)
    elif family.name == "sdxl":
        yield from _of_unet_inputs(configs["unet"], family)
        yield from _of_sdxl(configs)
    else:
        yield from _of_unet_inputs(configs["unet"], family)
        yield from _of_text_width(configs["unet"], {"text_encoder": configs["text_encoder"]})
    yield from _of_values(configs, family)


def _of_parts(configs: Mapping[str, Mapping[str, Any]], family: Family) -> Iterator[str]:
    """Parts of other kinds."""
    for part, field, wanted in (
        (family.denoiser, "_class_name", family.denoiser_class),
        ("vae", "_class_name", "AutoencoderKL"),
    ):
        if (kind := configs[part].get(field, wanted)) != wanted:
            yield f"{part}/config.json says {field} {kind}, not {wanted}"
    for part in family.text_encoders:
        encoder = "t5" if part == family.t5 else "clip"
        kind = str(configs[part].get("model_type", encoder))
        if not kind.startswith(encoder):
            yield f"{part}/config.json says model_type {kind}, which is not {encoder.upper()}'s"
    for part in family.projected:
        made = configs[part].get("architectures") or ["CLIPTextModelWithProjection"]
        if "CLIPTextModelWithProjection" not in made:
            yield (
                f"{part}/config.json says architectures {made}, not CLIPTextModelWithProjection: it has no "
                "pooled embedding"
            )


def _of_unet_inputs(unet: Mapping[str, Any], family: Family) -> Iterator[str]:
    """Inputs that the family does not have."""
    if unet.get("addition_embed_type") and family.name != "sdxl":
        yield (
            f"unet/config.json says addition_embed_type {unet['addition_embed_type']}: the UNet wants more "
            "than a timestep and a text embedding (Stable Diffusion XL?)"
        )
    if unet.get("time_cond_proj_dim") and family.name != "lcm":
        remedy = "" if family.name == "sdxl" else " then set family=lcm"
        yield (
            f"unet/config.json says time_cond_proj_dim {unet['time_cond_proj_dim']}: the UNet takes the "
            f"guidance scale as an input (a latent consistency model?{remedy})"
        )
    for field in ("class_embed_type", "num_class_embeds", "encoder_hid_dim"):
        if unet.get(field):
            yield f"unet/config.json says {field} {unet[field]}: the UNet wants more than a text embedding"
    channels = unet.get("in_channels", 4)
    if channels != 4:
        kind = _INPUTS.get(channels, "a model of another kind")
        yield f"unet/config.json says in_channels {channels}, not 4: {kind}"


def _of_sdxl(configs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What SDXL's UNet is conditioned on besides a text embedding (Podell et al., section 2.2)."""
    unet, second = configs["unet"], configs["text_encoder_2"]
    if (kind := unet.get("addition_embed_type")) != "text_time":
        yield (
            f"unet/config.json says addition_embed_type {kind}, not text_time: the UNet takes neither a "
            "pooled text embedding nor the image's size, as SDXL's does"
        )
    yield from _of_text_width(unet, {name: configs[name] for name in ("text_encoder", "text_encoder_2")})
    yield from _of_added_width(unet, second)


def _of_added_width(unet: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """A UNet that is conditioned on another width than a pooled embedding and six numbers make."""
    found = unet.get("projection_class_embeddings_input_dim")
    pooled, of_number = second.get("projection_dim"), unet.get("addition_time_embed_dim")
    if found is None or pooled is None or of_number is None or found == pooled + 6 * of_number:
        return
    refiner = " (SDXL's refiner takes 5 numbers)" if found == pooled + 5 * of_number else ""
    yield (
        f"unet/config.json says projection_class_embeddings_input_dim {found}, but text_encoder_2's "
        f"projection_dim {pooled} and 6 times addition_time_embed_dim {of_number} make "
        f"{pooled + 6 * of_number}{refiner}"
    )


def _of_text_width(unet: Mapping[str, Any], encoders: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A UNet that reads embeddings of another width than the text encoders make."""
    width = unet.get("cross_attention_dim")
    widths = [config.get("hidden_size") for config in encoders.values()]
    known = [hidden for hidden in widths if hidden is not None]
    if width is None or len(known) < len(widths) or width == sum(known):
        return
    files = " and ".join(f"{name}/config.json" for name in encoders)
    yield (
        f"unet/config.json says cross_attention_dim {width}, but {files} hidden_size "
        f"{' and '.join(map(str, known))}: they are not of one model"
    )


def _of_values(configs: Mapping[str, Mapping[str, Any]], family: Family) -> Iterator[str]:
    """Latents, activations and noise schedules that the package would get wrong."""
    latents = configs["vae"].get("latent_channels", 4)
    wanted = sd3_latent_channels(configs, family) if family.name == "sd3" else family.latent_channels
    if latents != wanted:
        yield f"vae/config.json says latent_channels {latents}, not {wanted}"
    if configs["vae"].get("latents_mean") is not None:
        yield "vae/config.json says latents_mean: its latents are not merely scaled by scaling_factor"
    for part in family.text_encoders:
        activation = configs[part].get("hidden_act", "quick_gelu")
        if activation not in ("quick_gelu", "gelu"):
            yield f"{part}/config.json says hidden_act {activation}, which no CLIP has"
    scheduler = configs["scheduler"]
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction != family.predicts and family.predicts == "epsilon":
        yield (
            f"scheduler/scheduler_config.json says prediction_type {prediction!r}, and the inversions here "
            "need a model that predicts epsilon"
        )
    if str(scheduler.get("_class_name")).startswith("EDM"):
        yield (
            f"scheduler/scheduler_config.json says _class_name {scheduler['_class_name']}: the model takes "
            "noise levels of another kind"
        )
