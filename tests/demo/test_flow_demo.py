"""What ``piebench demo --family flow`` leaves behind, prints and shows."""

import json

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.selection import select_samples
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.demo.embedded import DEMO_FLOW, DEMO_FLOW_T5_LENGTH
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import UNGUIDED, sample_ode
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.builtin import recipe_of_embedded
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.runs.batch_editing import encode_inputs
from piebench_eval.runs.edit_inputs import plan_schedule
from piebench_eval.tables.scores import read_scores
from piebench_eval.tables.statistics.paired_comparison import compare_pair
from tests.demo.test_demo_command import LARGER_IS_BETTER
from tests.demo.test_regression import BASELINES

COMBINATIONS = {
    "flowedit+plain",
    "euler+plain",
    "euler+value_sharing",
    "rf_solver+feature_sharing",
    "fireflow+feature_sharing",
    "uni_inv+uni_edit",
    "direct+masactrl",
}


def piebench(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """FlowEdit and Euler inversion on two samples: the run folder, and what was printed."""
    folder = tmp_path_factory.mktemp("flow") / "quick"
    return folder, piebench("demo", "--family", "flow", "--quick", "--samples", 2, "--out", folder)


def numbers(folder):
    table = pd.read_csv(folder / "table.csv", keep_default_na=False)
    named = table["inversion"] + "+" + table["method"]
    return table.set_index(named.str.removeprefix("+"))


def test_it_says_what_it_is_and_that_there_is_another(quick):
    folder, printed = quick
    assert "Demo model" in printed
    assert "\nAlso: piebench demo --family diffusion " in printed
    assert "\n- flowedit+plain minus euler+plain: structure_distance" in printed
    assert "\n- flowedit+plain minus source-copy: clip_whole" in printed
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > (2 + 2) * 128 and sheet.height > 2 * 128


def test_its_rows_are_those_of_the_flow_model_and_are_held_against_no_paper(quick):
    folder, _ = quick
    table = numbers(folder)
    assert set(table["model"]) == {DEMO_FLOW}
    assert set(table.index) == {"flowedit+plain", "euler+plain", "oracle", "source-copy"}
    rows = json.loads(piebench("table", folder, "--compare-paper", "--format", "json"))["rows"]
    assert rows and not any(row["verdict"] for row in rows)


def test_the_recipe_has_the_editors_of_flow_models():
    recipe = build_recipe(read_recipe_fields(recipe_of_embedded(DEMO_FLOW)), {}, DEMO_FLOW)
    assert {"+".join(pair) for pair in recipe.pairs} == COMBINATIONS


@pytest.mark.slow  # by itself: another process on the other core makes it half as fast
def test_it_ends_in_time(flow_run):
    assert flow_run.seconds < 240


@pytest.mark.slow
def test_the_baseline_holds(flow_run):
    piebench("check", flow_run.folder, "--baseline", BASELINES / "demo-flow.csv")


@pytest.mark.slow
def test_most_edits_of_the_best_method_are_right(flow_run):
    table = numbers(flow_run.folder)
    assert set(table.index) == {*COMBINATIONS, "oracle", "source-copy"}
    assert table.loc[list(COMBINATIONS), "recognised"].astype(float).max() >= 80


@pytest.mark.slow
def test_flowedit_is_told_from_no_edit(flow_run):
    scores = read_scores(flow_run.folder / "scores.csv")
    found = compare_pair(scores, "flowedit+plain", "source-copy").set_index("metric").loc["clip_whole"]
    assert found.low > 0, found


@pytest.mark.slow
@pytest.mark.parametrize("metric", LARGER_IS_BETTER)
def test_flowedit_preserves_more_than_euler_inversion_without_sharing(quick_flow_run_of_40, metric):
    scores = read_scores(quick_flow_run_of_40.folder / "scores.csv")
    found = compare_pair(scores, "flowedit+plain", "euler+plain").set_index("metric").loc[metric]
    better = sorted(LARGER_IS_BETTER[metric] * end for end in (found.low, found.high))
    assert better[0] > 0, found


@pytest.mark.slow  # tests/diffusion/test_solvers.py shows it along flows with known ends
def test_inversions_of_second_order_come_back_nearer_than_euler_s(tmp_path):
    samples = select_samples(load_pie_bench(embedded_benchmark(tmp_path)), limit=10)
    model = load_model(DEMO_FLOW, t5_length=DEMO_FLOW_T5_LENGTH)
    schedule = plan_schedule(model, CommonSettings(model=DEMO_FLOW, steps=10))
    inputs = encode_inputs(model, samples, model.native_resolution, guidance=Guidance(1))
    distances = {}
    for name in ("euler", "rf_solver", "fireflow"):
        entry = INVERSIONS.get(name)
        inverted = entry.invert(model, inputs, schedule, entry.settings())
        texts = inputs.source_embeds, inputs.uncond_embeds
        end = sample_ode(model, inverted.trajectory[-1], *texts, schedule, UNGUIDED, inverted.solver)[0]
        distances[name] = float((end - inputs.latents).square().mean())
    euler = distances.pop("euler")
    assert max(distances.values()) < euler, (distances, euler)
