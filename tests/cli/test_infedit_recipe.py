"""``piebench run --config configs/infedit.yaml``, with a small latent consistency model."""

import pytest
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.records import EditKey
from tests.support.recipes import shipped
from tests.support.tiny_model import save_tiny_lcm

IDS = ("000000000001", "812000000003")  # with a blended word, and without


@pytest.fixture(scope="module")
def lcm(tmp_path_factory):
    return str(save_tiny_lcm(tmp_path_factory.mktemp("lcm")))


def test_it_edits_and_the_dry_run_counts_what_edits_take(lcm, photo_bench, tmp_path):
    out = tmp_path / "run"
    command = ["run", "--config", str(recipe_file("infedit")), "--data", str(photo_bench), "--model", lcm]
    command += ["--set", "resolution=128", "--ids", ",".join(IDS), "--device", "cpu", "--out", str(out)]
    dry = CliRunner().invoke(app, [*command, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    recipe = shipped("infedit", {"model": lcm, "resolution": 128})
    samples = [sample for sample in load_pie_bench(photo_bench) if sample.id in IDS]
    foretold, records = count_evaluations(recipe, samples), RunStore.read(out).records()
    assert len(records) == len(foretold) == 3 * len(IDS)
    for key, record in records.items():
        cost = foretold[EditKey(*key)]
        assert (cost.forward, cost.reused) == (record["unet_rows_forward"], record["unet_rows_reused"]), key
    rows = {key[1:]: cost.forward for key, cost in foretold.items()}
    # Five rows in 8 steps, four in 3 or none, and in the others two, and the source by itself.
    assert rows["infedit", IDS[0]] == 8 * 5 + 3 * 4 + 1 * 3
    assert rows["infedit", IDS[1]] == 8 * 5 + 4 * 3
    assert rows["plain", IDS[0]] == 12 + 12 * 2


def test_its_settings_are_its_scripts():
    recipe = shipped("infedit")
    combination = recipe.combination("ddcm", "infedit")
    common, method = combination.common, combination.method_settings
    assert (common.steps, common.guidance, common.source_guidance, common.seed) == (12, 2.3, 1, 0)
    assert (common.guidance_policy, common.resolution) == ("classifier_free", 512)
    assert (method.cross_replace_steps, method.self_replace_steps, method.blend_threshold) == (0.7, 0.7, 0.55)
    assert method.quirks.keep_brackets and method.quirks.swapped_states
