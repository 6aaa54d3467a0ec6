"""Known deviations from the published protocol, each with the fields it changes and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.data.sample import TYPE_NAMES

if TYPE_CHECKING:
    from piebench_eval.metrics.protocol import Changes, ResizeFilter


@dataclass(frozen=True)
class Deviation:
    """One deviation from the published protocol.

    Attributes:
        key: its name.
        title: a description of a line.
        changes: the fields of the protocol that it changes.
        remedy: what to change in an evaluation that has it, to meet the published protocol.
    """

    key: str
    title: str
    changes: Changes
    remedy: str


_JPEG = (
    "the paper's scripts saved edits as JPEG at quality 75: score such files (piebench run "
    "--image-format jpeg:75), and say which you used"
)
_STRUCTURE_INPUT = "feed the ViT ImageNet-normalised grey levels 0..255, not values in 0..1"
_ANTIALIAS = (
    "resize the tensor to 224 with bilinear interpolation and antialias=False (torchvision's default is True "
    "since 0.17)"
)
_KEYS = "use the keys of the last of 12 layers (index 11), all heads joined, class token included"
_MASKED = "multiply both pictures by 1 - mask and average over the whole picture, masked region included"
_CLIP_INPUT = (
    "use CLIP's own processor on PIL pictures: bicubic to 224, centre crop (transformers' PIL processor, "
    "once called slow)"
)
_CLIP_NETWORK = "use openai/clip-vit-large-patch14"
_LPIPS_NETWORK = "use SqueezeNet (net_type='squeeze' in torchmetrics), and name the network beside the number"
_RUNS = (
    "read masks as pairs of start and length along the rows: for start, length in pairs, set "
    "mask[start:start + length] = 1"
)
_RESIZE = (
    "edit at the benchmark's 512 pixels; where the model needs more, say so, and name the filter that made "
    "the pictures smaller (piebench score resizes bicubically)"
)
_RESIZE_FILTERS: dict[ResizeFilter, str] = {
    "nearest": "the nearest pixels",
    "box": "averages (box; OpenCV's INTER_AREA)",
    "bilinear": "PIL's bilinear filter",
    "lanczos": "Lanczos' filter",
    "tensor_bicubic": "a bicubic filter without antialiasing (torch, OpenCV)",
}
_EDIT_PART = "multiply the edit by the mask, black elsewhere, and do not crop"

_AS_PUBLISHED = {"9": ": 620 of 700 pictures"}
"""What papers call the benchmark without one of its editing types."""

DEVIATIONS = (
    Deviation(
        "brackets",
        "the [ ] brackets are left in the prompts",
        {"prompts": {"brackets": "kept"}},
        "remove [ and ] from both prompts before CLIP reads them",
    ),
    Deviation(
        "instruction",
        "the instruction stands in the place of the target prompt",
        {"prompts": {"target": "instruction"}},
        "compare edits with the target prompt, whatever prompted the editor",
    ),
    Deviation(
        "full-stop",
        "a full stop is put behind the prompts",
        {"prompts": {"suffix": "."}},
        "give CLIP the prompts as they are",
    ),
    Deviation(
        "photo-prefix",
        'the prompts start with "a photo of "',
        {"prompts": {"prefix": "a photo of "}},
        "give CLIP the prompts as they are",
    ),
    Deviation(
        "end-token",
        "prompts of over 77 tokens keep their end token",
        {"prompts": {"too_long": "truncated"}},
        "cut the list of tokens behind the 77th",
    ),
    Deviation(
        "dino-unit-range",
        "DINO sees values 0..1",
        {"structure": {"levels": "0..1"}},
        _STRUCTURE_INPUT,
    ),
    Deviation(
        "dino-signed-range",
        "DINO sees values -1..1",
        {"structure": {"levels": "-1..1"}},
        _STRUCTURE_INPUT,
    ),
    Deviation(
        "dino-no-normalisation",
        "DINO's picture is not normalised",
        {"structure": {"normalise": False}},
        _STRUCTURE_INPUT,
    ),
    Deviation(
        "dino-antialias",
        "DINO's picture is resized with antialiasing",
        {"structure": {"resize": "bilinear_antialiased"}},
        _ANTIALIAS,
    ),
    Deviation(
        "dino-pil-bilinear",
        "DINO's picture is resized by PIL, bilinearly",
        {"structure": {"resize": "pil_bilinear"}},
        _ANTIALIAS,
    ),
    Deviation(
        "dino-pil-bicubic",
        "DINO's picture is resized by PIL, bicubically",
        {"structure": {"resize": "pil_bicubic"}},
        _ANTIALIAS,
    ),
    Deviation("dino-layer-10", "DINO's layer 10 is read", {"structure": {"layer": 10}}, _KEYS),
    Deviation("dino-layer-9", "DINO's layer 9 is read", {"structure": {"layer": 9}}, _KEYS),
    Deviation("dino-queries", "DINO's queries are read", {"structure": {"features": "queries"}}, _KEYS),
    Deviation("dino-tokens", "DINO's output tokens are read", {"structure": {"features": "tokens"}}, _KEYS),
    Deviation("dino-no-cls", "DINO's class token is left out", {"structure": {"class_token": False}}, _KEYS),
    Deviation(
        "dino-heads",
        "DINO's heads are compared one by one",
        {"structure": {"heads": "averaged"}},
        _KEYS,
    ),
    Deviation(
        "no-frame",
        "the one-pixel frame is not added to the masks",
        {"mask": {"frame": False}},
        "set the outermost row and column on each side of every mask to 1",
    ),
    Deviation(
        "inverted-mask",
        "the mask is inverted",
        {"mask": {"background": "inside"}},
        "score what lies outside the mask, where it is 0",
    ),
    Deviation(
        "no-mask",
        "the whole picture is scored, without a mask",
        {"mask": {"background": "everything"}},
        "score what lies outside the mask: psnr_unedit_part and its like",
    ),
    Deviation(
        "alternating-runs",
        "masks are decoded as alternating runs, along the rows",
        {"mask": {"runs": "alternating"}},
        _RUNS,
    ),
    Deviation(
        "alternating-columns",
        "masks are decoded as alternating runs, down the columns (COCO)",
        {"mask": {"runs": "alternating_columns"}},
        _RUNS,
    ),
    Deviation(
        "full-masks-whole",
        "pictures without background are scored whole",
        {"mask": {"full": "whole"}},
        "leave pictures whose mask covers everything out of the background metrics (556 of 700 remain)",
    ),
    Deviation(
        "kept-pixels",
        "PSNR and MSE are means over the kept pixels alone",
        {"background": {"area": "kept"}},
        _MASKED,
    ),
    Deviation(
        "uint8-difference",
        "MSE's differences wrap around (uint8)",
        {"background": {"difference": "uint8"}},
        "convert pictures to float before subtracting",
    ),
    Deviation(
        "lpips-unit-range",
        "LPIPS sees values 0..1",
        {"lpips": {"levels": "0..1"}},
        "scale pictures to -1..1 for LPIPS (normalize=True in torchmetrics)",
    ),
    Deviation(
        "lpips-grey-hole",
        "LPIPS's masked region is grey",
        {"lpips": {"hole": "grey"}},
        "apply the mask before scaling to -1..1, so that the masked region is black",
    ),
    Deviation(
        "lpips-kept", "LPIPS is a mean over the kept pixels of a map", {"lpips": {"area": "kept"}}, _MASKED
    ),
    Deviation("lpips-256", "LPIPS sees 256 pixels", {"lpips": {"side": 256}}, "score at full size"),
    Deviation("lpips-alex", "LPIPS is AlexNet's", {"lpips": {"network": "alexnet"}}, _LPIPS_NETWORK),
    Deviation("lpips-vgg", "LPIPS is VGG's", {"lpips": {"network": "vgg16"}}, _LPIPS_NETWORK),
    Deviation(
        "ssim-uniform",
        "SSIM has scikit-image's default window",
        {"ssim": {"window": "uniform"}},
        "use gaussian_weights=True, sigma=1.5, use_sample_covariance=False",
    ),
    Deviation(
        "ssim-grey",
        "SSIM is computed on grey pictures",
        {"ssim": {"colour": "grey"}},
        "compute SSIM on the three channels",
    ),
    Deviation(
        "ssim-kept", "SSIM is a mean over the kept pixels of its map", {"ssim": {"area": "kept"}}, _MASKED
    ),
    Deviation(
        "ssim-range-2",
        "SSIM has a data range of 2",
        {"ssim": {"data_range": 2.0}},
        "use data_range=1",
    ),
    Deviation(
        "ssim-levels",
        "SSIM sees 0..255 with a data range of 1",
        {"ssim": {"levels": "0..255"}},
        "scale pictures to 0..1, with data_range=1",
    ),
    Deviation(
        "ssim-border",
        "SSIM's map counts up to its border (torchmetrics from 1.3)",
        {"ssim": {"border": "included"}},
        "leave out 5 pixels on each side of the map, as torchmetrics 1.2 did",
    ),
    Deviation("jpeg-75", "edits are saved as JPEG, quality 75", {"pictures": {"jpeg": 75}}, _JPEG),
    Deviation("jpeg-95", "edits are saved as JPEG, quality 95", {"pictures": {"jpeg": 95}}, _JPEG),
    Deviation(
        "jpeg-95-444",
        "edits are saved as JPEG, quality 95, full colour resolution",
        {"pictures": {"jpeg": 95, "chroma": "4:4:4"}},
        _JPEG,
    ),
    Deviation(
        "bgr",
        "pictures are read in BGR order (OpenCV)",
        {"pictures": {"channels": "bgr"}},
        "convert what cv2.imread gives to RGB",
    ),
    *(
        Deviation(
            f"resize-{resize.replace('_', '-')}",
            f"edits of another size are resized by {words}",
            {"pictures": {"resize": resize}},
            _RESIZE,
        )
        for resize, words in _RESIZE_FILTERS.items()
    ),
    Deviation(
        "squeezed-strip",
        "the strip of four panels is resized, not cropped",
        {"pictures": {"panel": "squeezed"}},
        "cut out the last panel of a saved strip",
    ),
    Deviation(
        "second-panel",
        "the strip's second panel, the source, is scored",
        {"pictures": {"panel": "second"}},
        "cut out the last panel of a saved strip",
    ),
    Deviation(
        "clip-box",
        "CLIP sees the mask's bounding box",
        {"clip": {"edit_part": "box"}},
        _EDIT_PART,
    ),
    Deviation(
        "clip-framed-box",
        "CLIP sees the bounding box of mask and frame, which is the whole picture",
        {"clip": {"edit_part": "framed_box"}},
        _EDIT_PART,
    ),
    Deviation(
        "clip-masked-box",
        "CLIP sees the mask's bounding box, black around the mask",
        {"clip": {"edit_part": "masked_box"}},
        _EDIT_PART,
    ),
    Deviation("clip-white", "CLIP sees white around the mask", {"clip": {"edit_part": "white"}}, _EDIT_PART),
    Deviation(
        "clip-torchvision",
        "CLIP's picture comes from the fast (torchvision) processor",
        {"clip": {"processor": "torchvision"}},
        _CLIP_INPUT,
    ),
    Deviation(
        "clip-bilinear",
        "CLIP's picture is resized bilinearly",
        {"clip": {"processor": "pil_bilinear"}},
        _CLIP_INPUT,
    ),
    Deviation(
        "clip-no-antialias",
        "CLIP's picture is resized as a tensor, without antialiasing",
        {"clip": {"processor": "tensor_bicubic"}},
        _CLIP_INPUT,
    ),
    Deviation(
        "clip-tensor",
        "CLIP's picture is resized as a float tensor",
        {"clip": {"processor": "tensor_bicubic_antialiased"}},
        _CLIP_INPUT,
    ),
    Deviation(
        "clip-gelu",
        "CLIP has GELU in the place of QuickGELU",
        {"clip": {"activation": "gelu"}},
        "load OpenAI's weights with QuickGELU (open_clip: ViT-L-14-quickgelu)",
    ),
    Deviation(
        "clip-b16",
        "CLIP is ViT-B/16",
        {"clip": {"network": "openai/clip-vit-base-patch16"}},
        _CLIP_NETWORK,
    ),
    Deviation(
        "clip-b32",
        "CLIP is ViT-B/32",
        {"clip": {"network": "openai/clip-vit-base-patch32"}},
        _CLIP_NETWORK,
    ),
    Deviation(
        "nan-as-zero",
        "pictures without background count as 0",
        {"average": {"nan": "zero"}},
        "leave nan out of the means, and say how many there are",
    ),
    Deviation(
        "inf-as-100",
        "identical pictures count as 100 dB",
        {"average": {"inf": "100"}},
        "leave inf out of the mean, and say how many there are",
    ),
    Deviation(
        "pooled-psnr",
        "PSNR is that of the mean MSE",
        {"average": {"psnr": "pooled", "inf": "kept"}},  # an untouched picture has an MSE, 0
        "average the PSNRs of the pictures",
    ),
    Deviation(
        "category-means",
        "the mean is that of the editing types' means",
        {"average": {"over": "types"}},
        "average over the pictures: editing types have 40, 80 or 140 of them",
    ),
    Deviation(
        "with-background",
        "only pictures with a background count, in all metrics (556 of 700)",
        {"average": {"pictures": "with_background"}},
        "average structure distance and CLIP scores over all pictures; background metrics leave out pictures "
        "whose mask covers everything anyway",
    ),
    *(
        Deviation(
            f"without-type-{type_id}",
            f"editing type {type_id} ({name}) is left out{_AS_PUBLISHED.get(type_id, '')}",
            {"average": {"types": tuple(other for other in TYPE_NAMES if other != type_id)}},
            "average over all ten editing types",
        )
        for type_id, name in TYPE_NAMES.items()
    ),
    *(
        Deviation(
            f"only-type-{type_id}",
            f"only editing type {type_id} ({name}) counts",
            {"average": {"types": (type_id,)}},
            "average over all ten editing types",
        )
        for type_id, name in TYPE_NAMES.items()
    ),
)
"""The deviations that ``piebench explain`` tries, alone and in pairs."""


def other_clip(network: str) -> Deviation:
    """A deviation: CLIP scores from another network."""
    return Deviation(
        f"clip={network}",
        f"CLIP is {network}",
        {"clip": {"network": network}},
        _CLIP_NETWORK,
    )


def compatible(deviations: tuple[Deviation, ...]) -> bool:
    """Whether no two of the deviations change the same field."""
    fields = [
        (section, field)
        for deviation in deviations
        for section, changed in deviation.changes.items()
        for field in changed
    ]
    return len(fields) == len(set(fields))
