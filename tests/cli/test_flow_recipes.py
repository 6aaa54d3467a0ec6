"""``--config flowedit-sd3`` and other recipes of flows, on small models in their models' formats."""

import json
import math

import pytest
import yaml

from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.families import FAMILIES
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.compatibility import cautions, misfits
from piebench_eval.runs.forecast import count_evaluations
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.tables.paper.further import load_further
from tests.conftest import REPOSITORY
from tests.support.commands import piebench
from tests.support.recipes import shipped
from tests.support.tiny_sd3 import save_tiny_sd3

PAIRS = {
    "flowedit-sd3": ("flowedit", "plain"),
    "uniedit-sd3": ("uni_inv", "uni_edit"),
    "flowalign-sd3": ("flow_align", "plain"),
    "dnaedit-sd3": ("dnaedit", "dnaedit"),
    "flowedit-flux": ("flowedit", "plain"),
    "rf-inversion-flux": ("rf_inversion", "rf_inversion"),
    "uniedit-flux": ("uni_inv", "uni_edit"),
    "dnaedit-flux": ("dnaedit", "dnaedit"),
    "rf-solver-edit-flux": ("rf_solver", "feature_sharing"),
    "fireflow-flux": ("fireflow", "feature_sharing"),
}
# Rows per step of the source and of the target, and the steps that edit; Uni-Inv has one evaluation more.
PUBLISHED_ROWS = {
    "flowedit-sd3": 33 * (2 + 2),
    "uniedit-sd3": (9 + 1) + 9 * 2,
    "flowalign-sd3": 33 * (1 + 2),
    "dnaedit-sd3": 27 * (1 + 2),
    "flowedit-flux": 24 * (1 + 1),
    "rf-inversion-flux": 28 * (1 + 1),
    "uniedit-flux": (9 + 1) + 9 * 2,
    "dnaedit-flux": 24 * (1 + 1),
    "rf-solver-edit-flux": 2 * 15 + 2 * 15,
    "fireflow-flux": (8 + 1) + (8 + 1),
}
FEWER = {
    "flowedit-sd3": (["--steps", 5, "--set", "inversion.n_max=3"], 3 * (2 + 2)),
    "uniedit-sd3": (["--steps", 5], (3 + 1) + 3 * 2),
    "flowalign-sd3": (["--steps", 3], 3 * (1 + 2)),
    "dnaedit-sd3": (["--steps", 5, "--set", "inversion.skip=2"], 3 * (1 + 2)),
    "flowedit-flux": (["--steps", 5, "--set", "inversion.n_max=3"], 3 * (1 + 1)),
    "rf-inversion-flux": (["--steps", 3], 3 * (1 + 1)),
    "uniedit-flux": (["--steps", 5], (3 + 1) + 3 * 2),
    "dnaedit-flux": (["--steps", 5, "--set", "inversion.skip=2"], 3 * (1 + 1)),
    "rf-solver-edit-flux": (["--steps", 2, "--set", "method.first_layer=0"], 4 + 4),
    "fireflow-flux": (["--steps", 2], 3 + 3),
}
SIDE = 128
"""The small models' own resolution; of these recipes, FlowAlign's and RF-Inversion's name another."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_sd3(tmp_path_factory.mktemp("models") / "sd3")


@pytest.fixture
def options(model, tiny_flux, photo_bench, tmp_path):
    models = {"sd3": model, "flux": tiny_flux}

    def of(recipe):
        of_another_side = recipe in ("flowalign-sd3", "rf-inversion-flux")
        side = ["--set", f"resolution={SIDE}"] if of_another_side else []
        model = models[recipe.rsplit("-", 1)[1]]
        return ["run", "--data", photo_bench, "--config", recipe, "--model", model, "--limit", 2, *side,
                "--device", "cpu", "--out", tmp_path / "run"]  # fmt: skip

    return of


@pytest.mark.parametrize("recipe", PAIRS)
def test_the_dry_run_counts_the_published_steps(options, recipe):
    dry = piebench(*options(recipe), "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    (part,) = json.loads(dry.stdout)["plan"]
    assert part["combination"] == "+".join(PAIRS[recipe])
    assert (part["missing"], part["rows_forward"]) == (2, PUBLISHED_ROWS[recipe])


@pytest.mark.parametrize("recipe", PAIRS)
def test_edits_take_the_rows_that_the_dry_run_tells(options, tmp_path, recipe):
    more, rows = FEWER[recipe]
    done = piebench(*options(recipe), *more)
    assert done.returncode == 0, done.stderr
    records = RunStore.read(tmp_path / "run").records()
    assert [record["unet_rows_forward"] for record in records.values()] == [rows] * 2
    suffix = "jpg" if shipped(recipe).image_format.startswith("jpeg") else "png"
    assert len(list((tmp_path / "run" / "images").rglob(f"*.{suffix}"))) == 2


def test_the_documentation_has_the_evaluations_that_are_counted(samples):
    """Of the source and of each target prompt; the published code's are the sum that stands beside them."""
    page = (REPOSITORY / "docs" / "flow.md").read_text(encoding="utf-8")
    lines = page.partition("| recipe | steps that edit |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert {recipe.strip("`") for recipe, *_ in rows} == set(PAIRS)
    for recipe, _, source, target, published, _ in rows:
        name = recipe.strip("`")
        family = name.rsplit("-", 1)[1]  # the model need not be on this machine
        (cost,) = count_evaluations(shipped(name, {"family": family}), samples[:1]).values()
        assert (int(source), int(target)) == (cost.source, cost.total - cost.source), name
        total, _, calls = published.partition(" = ")
        terms = (part.strip().split(" x ") for part in calls.split("+"))
        assert int(total) == sum(math.prod(map(int, term)) for term in terms) >= cost.total, name


def test_another_method_finds_flowedits_source_there(model, photo_bench, tmp_path):
    """The source's two rows of a step are computed once; the published script does so for every edit."""
    fields = yaml.safe_load(recipe_file("flowedit-sd3").read_text(encoding="utf-8"))
    fields["methods"]["dnaedit"] = {}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(fields))
    more = ["--steps", 5, "--set", "inversion.flowedit.n_max=3", "--limit", 1, "--device", "cpu"]
    done = piebench("run", "--data", photo_bench, "--config", tmp_path / "both.yaml", "--model", model, *more,
                    "--out", tmp_path / "run")  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = [
        (record["unet_rows_forward"], record["unet_rows_reused"])
        for record in RunStore.read(tmp_path / "run").records().values()
    ]
    assert counts == [(12, 0), (12, 6)]


@pytest.mark.parametrize("recipe", PAIRS)
def test_it_goes_with_the_family_and_published_rows_name_it(recipe):
    pair = PAIRS[recipe]
    combination = shipped(recipe).combination(*pair)
    assert shipped(recipe).pairs == [pair] and not misfits(combination, FAMILIES[recipe.rsplit("-", 1)[1]])
    rows = [row for row in load_further() if row.recipe == recipe]
    assert rows and {(row.inversion, row.method) for row in rows} == {pair}
    assert any(row.runs_on(combination.common.model) for row in rows)


def test_published_rows_are_of_inversions_and_methods_that_there_are():
    for row in load_further():
        assert row.method in METHODS.names()
        own = INVERSIONS.get(row.inversion).settings().model_dump()
        settings = {f"inversion.{name}" for name in own} | set(CommonSettings(model="x").model_dump())
        assert set(row.settings) <= settings, row


def test_settings_are_the_published_ones():
    common = {recipe: shipped(recipe).combination(*pair).common for recipe, pair in PAIRS.items()}
    found = {
        name: (c.steps, c.guidance, c.source_guidance, c.seed, c.t5_length) for name, c in common.items()
    }
    assert found == {
        "flowedit-sd3": (50, 13.5, 3.5, 42, 256),
        "uniedit-sd3": (15, 1, None, 1234, 256),
        "flowalign-sd3": (33, 13.5, 1, 123, 77),
        "dnaedit-sd3": (40, 3.5, 1, 0, 256),
        "flowedit-flux": (28, 5.5, 1.5, 10, 512),
        "rf-inversion-flux": (28, 3.5, None, 999, 512),
        "uniedit-flux": (15, 1, None, 1234, 512),
        "dnaedit-flux": (28, 2.5, 1, 0, 512),
        "rf-solver-edit-flux": (15, 2, None, 1234, 512),
        "fireflow-flux": (8, 2, None, 1234, 512),
    }
    align = shipped("flowalign-sd3").combination("flow_align", "plain")
    assert align.inversion_settings.weight == 0.01 and align.method_settings.negative_prompt == "source"
    assert (align.common.posterior, align.common.image_loader) == ("sample", "resize_bilinear")
    assert align.common.quirks.pixel_overflow == "min_max"
    edit = shipped("uniedit-sd3").combination("uni_inv", "uni_edit")
    assert (edit.inversion_settings.alpha, edit.inversion_settings.alpha_rounds) == (0.6, "down")
    assert (edit.method_settings.omega, edit.method_settings.mask) == (5, "signed")
    assert edit.common.quirks.added_shift
    dna = shipped("dnaedit-sd3").combination("dnaedit", "dnaedit")
    assert (dna.inversion_settings.skip, dna.method_settings.mvg) == (13, 0.8)
    assert shipped("dnaedit-sd3").image_format == "jpeg:75"


def test_settings_with_flux_are_the_published_ones():
    flowedit = shipped("flowedit-flux").combination("flowedit", "plain")
    assert (flowedit.inversion_settings.n_max, flowedit.inversion_settings.n_min) == (24, 0)
    pull = shipped("rf-inversion-flux").combination("rf_inversion", "rf_inversion")
    inverted, edited = pull.inversion_settings, pull.method_settings
    assert (inverted.guidance, inverted.gamma, inverted.step_order) == (0, 0.5, "descending")
    assert (edited.eta, edited.start, edited.stop, edited.inversion_prompt) == (0.9, 0, 0.25, "empty")
    assert (pull.common.posterior, pull.common.resolution) == ("sample", 1024)
    assert (inverted.sampler, pull.common.image_loader) == ("ode", "resize_lanczos")
    edit = shipped("uniedit-flux").combination("uni_inv", "uni_edit")
    assert (edit.inversion_settings.alpha, edit.inversion_settings.alpha_rounds) == (0.6, "half_even")
    assert (edit.method_settings.omega, edit.method_settings.mask) == (5, "absolute")
    assert (edit.common.guidance_policy, edit.common.embedded_guidance) == ("classifier_free", 1)
    assert not edit.common.quirks.added_shift
    dna = shipped("dnaedit-flux").combination("dnaedit", "dnaedit")
    assert (dna.inversion_settings.skip, dna.method_settings.mvg) == (4, 0.8)
    assert shipped("dnaedit-flux").image_format == "jpeg:75"
    assert not cautions([flowedit, pull, edit, dna])
    sharing = {
        recipe: shipped(recipe).combination(*PAIRS[recipe]).method_settings
        for recipe in ("rf-solver-edit-flux", "fireflow-flux")
    }
    assert {(s.inject, s.first_layer, s.last_layer, s.tokens) for s in sharing.values()} == {
        (2, 20, None, "all"),
        (1, 0, 37, "all"),
    }
    assert all(s.editing_strategy == ["replace_v"] for s in sharing.values())
