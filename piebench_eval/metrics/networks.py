"""Which networks the metrics use; known without loading them."""

from dataclasses import asdict, dataclass

DINO = "facebook/dino-vitb8"
CLIP = "openai/clip-vit-large-patch14"
SQUEEZENET = "squeezenet"


@dataclass(frozen=True)
class MetricModels:
    """Where the three networks of the metrics come from; the defaults are the paper's.

    Attributes:
        dino: ViT of the structure distance, transformers directory or hub id.
        clip: CLIP of the CLIP scores, transformers directory or hub id.
        lpips_weights: SqueezeNet of LPIPS, ``squeezenet`` for torchvision's or a safetensors file.
    """

    dino: str = DINO
    clip: str = CLIP
    lpips_weights: str = SQUEEZENET

    def to_dict(self) -> dict[str, str]:
        """As a scores file's provenance holds it."""
        return asdict(self)
