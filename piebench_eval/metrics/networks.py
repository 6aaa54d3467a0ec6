"""Which networks the metrics use; known without loading them."""

from dataclasses import asdict, dataclass

from piebench_eval.demo.embedded import DEMO

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

    ``demo`` stands for the embedded network in each of them.
    """

    dino: str = DINO
    clip: str = CLIP
    lpips_weights: str = SQUEEZENET

    def to_dict(self) -> dict[str, str]:
        """As a scores file's provenance holds it."""
        return asdict(self)


def networks_for(model: str | None) -> MetricModels:
    """The networks that edits by a model are scored with: the embedded ones for the embedded model."""
    return MetricModels(DEMO, DEMO, DEMO) if model == DEMO else MetricModels()
