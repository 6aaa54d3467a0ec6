"""Whether the Hugging Face Hub can be reached: asked once, where its library tries for half a minute."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from piebench_eval.errors import PiebenchError

_PATIENCE_SECONDS = 5.0


def looks_like_hub_id(name: str) -> bool:
    """Whether a name is written OWNER/NAME.

    >>> looks_like_hub_id("openai/clip-vit-large-patch14"), looks_like_hub_id("../model")
    (True, False)
    """
    parts = name.split("/")
    return len(parts) == 2 and all(part and not part.startswith((".", "~")) for part in parts)


def require_repository(name: str) -> None:
    """Check that a name can be that of a repository.

    Raises:
        PiebenchError: it cannot.
    """
    if not looks_like_hub_id(name):
        raise PiebenchError(f"{name}: name a dataset repository of the Hugging Face Hub, OWNER/NAME")


def require_hub(option: str, name: str, *files: str) -> None:
    """Refuse a hub id that would have to be downloaded where there is no network.

    Whoever has a proxy or has set ``HF_HUB_OFFLINE`` is left to huggingface_hub, and so is a network that is
    merely slow to answer.

    Args:
        option: the option that names the model.
        name: its value; nothing is asked for a folder.
        files: of which the local cache has one if it has the model.

    Raises:
        PiebenchError: the Hub's name is not known here, or it refuses to be connected to.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if Path(name).exists() or not looks_like_hub_id(name) or constants.HF_HUB_OFFLINE or getproxies():
        return
    if any(isinstance(try_to_load_from_cache(name, file), str) for file in files):
        return
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_PATIENCE_SECONDS).close()
    except TimeoutError:
        return
    except OSError as error:
        folder = os.environ.get("HF_HOME", "~/.cache/huggingface")
        raise PiebenchError(
            f"{option} {name}: is not on this machine, and {address.hostname} cannot be reached ({error}); "
            f"give a folder, check the network, or copy the cache ({folder}) from a machine that has it"
        ) from None
