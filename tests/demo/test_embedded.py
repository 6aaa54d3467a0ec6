"""The names of the embedded models, and what follows from them."""

from pathlib import Path

import pandas as pd
import pytest

from piebench_eval.demo.embedded import DEMO, DEMO_FLOW, WEIGHTS, is_embedded, locate
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import MetricModels, networks_for
from piebench_eval.models.families import FAMILIES
from piebench_eval.recipes.builtin import recipe_of_embedded
from piebench_eval.recipes.compatibility import misfits
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.tables.provenance import demo_label, is_demo, provenance_of_rows, with_provenance
from tests.tables.test_tables import scores

OF_THE_PAPER = "CompVis/stable-diffusion-v1-4"


def test_each_name_has_a_folder_of_weights():
    folders = {name: Path(locate("model", name)) for name in (DEMO, DEMO_FLOW)}
    assert len(set(folders.values())) == 2 and {folder.parent for folder in folders.values()} == {WEIGHTS}
    assert is_embedded(DEMO) and is_embedded(DEMO_FLOW)
    assert locate("model", OF_THE_PAPER) == OF_THE_PAPER and not is_embedded(OF_THE_PAPER)


@pytest.mark.parametrize(("role", "remedy"), [("dino", "; use demo"), ("lpips_alex", "")])
def test_the_networks_that_score_are_those_of_demo(role, remedy):
    with pytest.raises(PiebenchError, match=f"no such network is embedded{remedy}$"):
        locate(role, DEMO_FLOW)
    assert networks_for(DEMO_FLOW) == networks_for(DEMO) != networks_for(OF_THE_PAPER) == MetricModels()


@pytest.mark.parametrize("model", [DEMO, DEMO_FLOW])
def test_an_embedded_model_edits_the_embedded_benchmark_by_its_own_recipe(model):
    own = build_recipe(read_recipe_fields(recipe_of_embedded(model)), {}, model)
    for config in (RunConfig(settings={"model": model}), RunConfig(Path(model))):
        recipe, data = config.build()
        assert (recipe.hash, data) == (own.hash, None)
    assert own.model == model


def test_with_data_an_embedded_model_s_recipe_is_asked_for():
    settings, pair = {"model": DEMO_FLOW}, (["euler"], ["plain"])
    recipe, data = RunConfig(None, "bench", settings, *pair).build()
    assert (recipe.steps, data) == (50, Path("bench"))


def about(model, *, networks=DEMO, combination="euler+plain"):
    of_networks = {"networks": networks_for(networks).to_dict(), "protocol": "paper"}
    return {**of_networks, "model": model, "combinations": {combination: {"model": model}}}


@pytest.mark.parametrize(
    ("provenance", "label"),
    [
        (about(DEMO_FLOW), DEMO_FLOW),
        (about(DEMO_FLOW, networks=OF_THE_PAPER), DEMO_FLOW),
        (about(DEMO), DEMO),
        (about(OF_THE_PAPER), DEMO),
        (about(OF_THE_PAPER, networks=OF_THE_PAPER), None),
    ],
)
def test_tables_name_the_embedded_model(provenance, label):
    assert demo_label(provenance) == label and is_demo(provenance) is (label is not None)


@pytest.mark.parametrize(("other", "label"), [(DEMO_FLOW, DEMO_FLOW), (DEMO, DEMO), (OF_THE_PAPER, DEMO)])
def test_so_do_tables_of_several_runs(other, label):
    combinations = {"direct+p2p": {"model": other}}
    others = {**about(other), "combinations": combinations}
    parts = {"euler": about(DEMO_FLOW), "direct": others}
    frames = [with_provenance(scores(2, inversions=(name,)), origin) for name, origin in parts.items()]
    merged = provenance_of_rows(pd.concat(frames))
    assert demo_label(merged) == label


@pytest.mark.parametrize("length", [None, 256])
def test_the_flow_model_is_given_no_other_length_than_it_was_trained_with(length):
    fields = {"model": DEMO_FLOW, "inversions": ["euler"], "methods": ["plain"], "t5_length": length}
    (problem,) = misfits(build_recipe(fields, {}, "x").combination("euler", "plain"), FAMILIES["sd3"])
    assert problem.endswith("was trained with 1; --set t5_length=1, or --config demo-flow")
