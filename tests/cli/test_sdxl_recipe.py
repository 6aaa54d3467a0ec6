"""``piebench run --config sdxl``, with a small Stable Diffusion XL."""

from PIL import Image
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from tests.support.recipes import shipped

SMALL = ["--set", "resolution=128", "--set", "output_resolution=64", "--set", "method.blend_downsampling=2"]


def test_edits_are_saved_in_the_benchmarks_size(tiny_sdxl, photo_bench, tmp_path):
    out = tmp_path / "run"
    command = ["run", "--config", "sdxl", "--data", str(photo_bench), "--model", str(tiny_sdxl), *SMALL]
    command += ["--inversion", "direct,negative_prompt", "--method", "p2p", "--steps", "2", "--limit", "2"]
    done = CliRunner().invoke(app, [*command, "--device", "cpu", "--out", str(out)])
    assert done.exit_code == 0, done.output
    sizes = {Image.open(file).size for file in (out / "images").rglob("*.png")}
    assert sizes == {(64, 64)} and len(list((out / "images").rglob("*.png"))) == 4


def test_it_edits_at_1024_for_a_benchmark_of_512():
    recipe = shipped("sdxl")
    assert len(recipe.pairs) == 20
    for pair in recipe.pairs:
        common = recipe.combination(*pair).common
        assert (common.resolution, common.output_resolution) == (1024, 512)
    assert recipe.combination("direct", "masactrl").method_settings.start_layer is None
