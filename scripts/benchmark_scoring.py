"""Time scoring at the real models' sizes, with random weights, against an evaluator that shares nothing.

    python scripts/benchmark_scoring.py
    python scripts/benchmark_scoring.py --samples 3 --device cuda
    python scripts/benchmark_scoring.py --small --memory 20 40 80

Twelve edits of each sample are scored with the eight official metrics. The plain evaluator does what the
published one does: one pair at a time, source and edit alike, gradients on for the edit, attention in single
operations, every layer's outputs and attention maps kept, and CLIP twice a score. Prints CPU seconds per
picture and combination of both and how far their scores are apart; with ``--memory``, the peak memory of
scoring so many samples instead.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTConfig, ViTModel

from piebench_eval.data.masks import encode_rle, load_mask
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.demo.embedded import WEIGHTS
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.networks.lpips import PerceptualFeatures
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.metrics.structure import network_input
from piebench_eval.models.precision import use_exact_float32
from piebench_eval.scoring.cache import ScoreCache
from piebench_eval.scoring.edited_images import EditedImage
from piebench_eval.scoring.images import load_edit, load_source
from piebench_eval.scoring.score import Scoring, compute_scores, scoring_jobs
from piebench_eval.scoring.scores_file import score_rows

COMBINATIONS = 12
SIDE = 512


def save_models(folder: Path, small: bool) -> MetricModels:
    """ViT-B/8, CLIP ViT-L/14 and SqueezeNet of random weights, or small ones of the same kind."""
    torch.manual_seed(0)
    vit = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "patch_size": 8}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
    vision["num_hidden_layers"] = 24
    text = {
        **vit,
        "num_hidden_layers": 12,
        "vocab_size": len(CLIPTokenizer.from_pretrained(WEIGHTS / "clip")),
    }
    del text["patch_size"]
    if small:
        vit |= {"hidden_size": 48, "intermediate_size": 96, "patch_size": 16}
        vision |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
        text |= {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2}
    ViTModel(ViTConfig(num_hidden_layers=12, image_size=224, **vit), add_pooling_layer=False).save_pretrained(
        folder / "vit"
    )
    config = CLIPConfig(
        text_config={**text, "eos_token_id": 2, "projection_dim": 768},
        vision_config={**vision, "patch_size": 14, "image_size": 224, "projection_dim": 768},
        projection_dim=768,
    )
    CLIPModel(config).save_pretrained(folder / "clip")
    CLIPImageProcessorPil().save_pretrained(folder / "clip")
    for file in (WEIGHTS / "clip").glob("token*"):
        shutil.copy(file, folder / "clip")
    squeezenet = torchvision.models.squeezenet1_1(weights=None).features
    save_file(squeezenet.state_dict(), folder / "squeezenet.safetensors")
    return MetricModels(str(folder / "vit"), str(folder / "clip"), str(folder / "squeezenet.safetensors"))


def save_benchmark(folder: Path, samples: int) -> list[EditedImage]:
    """Photographs as samples, each with twelve edits: more and more noise."""
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[100:300, 150:400] = True
    pictures = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()]
    annotations = {}
    for index in range(samples):
        sample_id = f"{index:012}"
        path = folder / "annotation_images" / f"{sample_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(pictures[index % 3], index, axis=1)).resize((SIDE, SIDE)).save(path)
        annotations[sample_id] = {
            "image_path": path.name,
            "original_prompt": "a photo of a [cat] on a table",
            "editing_prompt": "a photo of a [dog] on a table",
            "editing_instruction": "",
            "editing_type_id": "1",
            "blended_word": "cat dog",
            "mask": encode_rle(mask),
        }
    (folder / "mapping_file.json").write_text(json.dumps(annotations))
    edited_images = []
    for sample in load_pie_bench(folder):
        source = np.array(Image.open(sample.file)).astype(int)
        for number in range(COMBINATIONS):
            file = folder / f"{number}" / f"{sample.id}.png"
            file.parent.mkdir(exist_ok=True)
            noisy = source + rng.normal(0, 3 + 2 * number, source.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file)
            edited_images.append(EditedImage(sample, {"name": str(number)}, file))
    return edited_images


class PlainEvaluator:
    """One pair at a time, nothing shared."""

    def __init__(self, models: MetricModels, device: torch.device):
        vit = ViTModel.from_pretrained(models.dino, add_pooling_layer=False, attn_implementation="eager")
        self.vit = vit.eval().to(device)
        self.clip = CLIPModel.from_pretrained(models.clip).eval().to(device)
        self.clip_pixels = CLIPImageProcessorPil.from_pretrained(models.clip)
        self.clip_tokens = CLIPTokenizer.from_pretrained(models.clip)
        self.lpips = PerceptualFeatures("lpips_weights", models.lpips_weights, device)
        self.device = device

    def self_similarity(self, image, gradients):
        """Outputs and attention maps of every layer are kept, and the gradients' graph with them."""
        kept, keys = [], []
        watched = [*self.vit.layers, *(layer.attention for layer in self.vit.layers)]
        hooks = [module.register_forward_hook(lambda *given: kept.append(given[2])) for module in watched]
        projection = self.vit.layers[11].attention.k_proj
        hooks.append(projection.register_forward_hook(lambda *given: keys.append(given[2])))
        with torch.set_grad_enabled(gradients):
            self.vit(network_input([image], PAPER.structure).to(self.device))
        for hook in hooks:
            hook.remove()
        directions = keys[0][0] / keys[0][0].norm(dim=1, keepdim=True)
        return directions @ directions.T

    def clip_score(self, image, prompt):
        for _ in range(2):  # once for the value, once for an unused state
            with torch.no_grad():
                pixels = self.clip_pixels(Image.fromarray(image), return_tensors="pt").pixel_values
                embedding = self.clip.get_image_features(pixels.to(self.device)).pooler_output
                tokens = self.clip_tokens(prompt, return_tensors="pt").input_ids
                text = self.clip.get_text_features(tokens.to(self.device)).pooler_output
        return max(0.0, 100 * float(torch.cosine_similarity(embedding, text)))

    def score(self, edited_image: EditedImage) -> dict[str, float]:
        sample, edit = edited_image.sample, load_edit(edited_image).pixels
        source, mask = load_source(sample, SIDE).image, load_mask(sample, SIDE, frame=True)
        pair = torch.from_numpy(np.stack([source, edit])).permute(0, 3, 1, 2).to(self.device) / 255
        one, other = (pair * torch.from_numpy(~mask).to(self.device)).split(1)
        with torch.no_grad():
            features = [self.lpips.features(picture * 2 - 1) for picture in (one, other)]
            lpips = sum(float(layer.mean()) for layer in self.lpips.maps(*features))
        _, ssim = structural_similarity_index_measure(
            other, one, sigma=1.5, data_range=1.0, return_full_image=True
        )
        difference = self.self_similarity(edit, True) - self.self_similarity(source, False)
        target = sample.target_prompt
        scores = (
            float(difference.detach().square().mean()),
            float(peak_signal_noise_ratio(other, one, data_range=1.0)),
            lpips,
            float((one - other).square().mean()),
            float(ssim[..., 5:-5, 5:-5].mean()),
            self.clip_score(source, sample.source_prompt),
            self.clip_score(edit, target),
            self.clip_score(edit * mask[..., None].astype(np.uint8), target),
        )
        return dict(zip(COLUMNS, scores, strict=True))


def timed(work):
    """What a function returns, and the CPU seconds (on a GPU: wall seconds) that it took."""
    started = time.process_time(), time.perf_counter()
    result = work()
    return result, time.process_time() - started[0], time.perf_counter() - started[1]


def score_all(edited_images: list[EditedImage], models: MetricModels, device: str, folder: Path):
    """Rows of our scoring, the networks loaded before the clock starts."""
    scoring = Scoring(models)
    score_cache = ScoreCache(folder / "scores.cache.sqlite")
    networks = scoring.networks(device)
    networks.load(("dino", "clip", "lpips_weights"))
    jobs = list(scoring_jobs(edited_images, scoring.specs))

    def run():
        for _ in compute_scores(jobs, networks, score_cache):
            pass
        return score_rows(jobs, score_cache)

    return timed(run)


def peak_memory(samples: int, models: MetricModels, device: str, folder: Path) -> float:
    """Memory in GB that a new process needs to score the twelve edits of each sample."""
    context = multiprocessing.get_context("spawn")
    edited_images = save_benchmark(folder / f"of-{samples}", samples)
    with context.Pool(1) as pool:
        return pool.apply(_peak, (edited_images, asdict(models), device, str(folder)))


def _peak(edited_images, models, device, folder):
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        score_all(edited_images, MetricModels(**models), device, Path(fresh))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_times(options: argparse.Namespace, models: MetricModels, folder: Path) -> dict[str, Any]:
    """Seconds per picture and combination of both evaluators, and how far their scores are apart."""
    edited_images = save_benchmark(folder / "bench", options.samples)
    plain = PlainEvaluator(models, torch.device(options.device))
    plain.score(edited_images[0])  # warm
    pairs = edited_images[: options.pairs]
    expected, plain_cpu, plain_wall = timed(lambda: list(map(plain.score, pairs)))
    rows, our_cpu, our_wall = score_all(edited_images, models, options.device, folder)
    apart = {
        column: max(
            abs(row[column] - other[column]) for row, other in zip(rows[: len(pairs)], expected, strict=True)
        )
        for column in COLUMNS
    }
    plain_cpu, plain_wall = plain_cpu / len(pairs), plain_wall / len(pairs)
    our_cpu, our_wall = our_cpu / len(edited_images), our_wall / len(edited_images)
    return {
        "edits": len(edited_images),
        "plain_cpu_s": plain_cpu,
        "our_cpu_s": our_cpu,
        "cpu_share": our_cpu / plain_cpu,
        "plain_wall_s": plain_wall,
        "our_wall_s": our_wall,
        "largest_difference": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2, help="pairs that the plain evaluator scores")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="small networks, to try the script itself")
    parser.add_argument("--memory", type=int, nargs="+", metavar="SAMPLES", help="peak memory, not times")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    use_exact_float32()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = save_models(folder, options.small)
        if options.memory:
            measured = {
                "peak_memory_gb": {
                    number: peak_memory(number, models, options.device, folder) for number in options.memory
                }
            }
        else:
            measured = measure_times(options, models, folder)
    print(json.dumps({"device": options.device, "threads": options.threads, **measured}, indent=1))


if __name__ == "__main__":
    main()
