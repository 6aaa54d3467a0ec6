"""Which networks the metrics use; known without loading them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from piebench_eval.errors import PiebenchError

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


@contextmanager
def explained_loading(option: str, location: str, wanted: str) -> Iterator[None]:
    """Turn what loaders raise into a message for the user.

    Args:
        option: the command-line option that names the network.
        location: its value.
        wanted: what the option takes.

    Raises:
        PiebenchError: the body could not load the network.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise PiebenchError(
            f"{option} {location}: cannot be loaded ({reason}); give {wanted}, and check the network if it "
            "is to be downloaded"
        ) from error
