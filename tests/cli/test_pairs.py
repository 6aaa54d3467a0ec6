"""``piebench methods``: the matrix of pairs beside what recipes are refused for, and what was published."""

import json
from functools import cache

import pytest

from piebench_eval.cli.pairs import ROWS, pairs_of
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.families import FAMILIES
from piebench_eval.recipes.compatibility import method_misfit, misfits, pair_misfit
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.tables.paper.further import load_further, shipped_recipe
from piebench_eval.tables.paper.pairs import Pair, published_pairs
from tests.support.commands import piebench


@cache
def listed(family):
    return {
        (pair.inversion, pair.method): pair
        for pair in pairs_of(FAMILIES[family], INVERSIONS.names(), METHODS.names())
    }


def misfits_of(family, pair, policy):
    """What a recipe with the defaults of both is refused for."""
    fields = {"model": "x", "family": family, "inversions": [pair[0]], "methods": [pair[1]], "steps": 4}
    recipe = build_recipe({**fields, "guidance_policy": policy}, {}, "test")
    return misfits(recipe.combination(*pair), FAMILIES[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_matrix_says_what_recipes_are_refused_for(family):
    for pair, told in listed(family).items():
        as_it_is, by_rows = (misfits_of(family, pair, policy) for policy in ("auto", "classifier_free"))
        if told.refused:
            assert by_rows and any(told.refused in line for line in as_it_is), told
        else:
            assert not by_rows and bool(as_it_is) == (told.needs == ROWS), told


@pytest.mark.parametrize("family", FAMILIES)
def test_a_refusal_names_what_goes_beside_the_one_that_stays(family):
    """Unless both have to be replaced."""
    of_family = FAMILIES[family], FAMILIES[family].guidance
    for inversion, method in listed(family):
        lines = misfits_of(family, (inversion, method), "auto")
        if len(lines) != 1:
            continue
        names = lines[0].rpartition("; use ")[2].partition(", or set ")[0].partition(" with ")[0]
        method_stays = method_misfit(method, *of_family) is None
        for name in names.replace(" or ", ", ").split(", "):
            instead = (name, method) if method_stays else (inversion, name)
            assert pair_misfit(*instead, *of_family) is None, lines


def test_refusals_beside_an_inversion_that_keeps_no_features():
    (line,) = misfits_of("flux", ("flowedit", "feature_sharing"), "auto")
    assert line == (
        "feature_sharing reads what an inversion computes on its way, and flowedit keeps nothing of "
        "that; use euler, rf_solver, fireflow, uni_inv, direct or rf_inversion with feature_sharing"
    )
    beside_one, beside_another = (
        misfits_of("flux", (name, "pnp"), "auto")[0] for name in ("dnaedit", "direct")
    )
    assert "feature_sharing" not in beside_one and beside_one.endswith("rf_inversion with dnaedit")
    assert "feature_sharing" in beside_another and beside_another.endswith(" or rf_inversion")


def test_unconditional_rows_are_offered_where_they_are_all_that_is_missing():
    (line,) = misfits_of("flux", ("uni_inv", "uni_edit"), "auto")
    assert line.endswith(f", or set {ROWS}")
    assert ROWS not in misfits_of("flux", ("uni_inv", "pnp"), "auto")[0]


def test_every_published_row_is_a_pair_that_goes_with_its_family():
    for pair, publication in published_pairs().items():
        told = listed(pair.family)[pair.inversion, pair.method]
        assert told.mark.startswith("P") and told.recipes == publication.recipes, pair
        assert told.published == publication.where and (publication.by_authors or publication.by_others)
        for recipe in publication.recipes:
            assert (pair.inversion, pair.method) in shipped_recipe(recipe).pairs
    pairs = {(pair.inversion, pair.method) for pair in published_pairs()}
    assert {(row.inversion, row.method) for row in load_further()} <= pairs


def test_where_pairs_were_published():
    found = published_pairs()
    flux = {pair[1:]: found[pair].recipes for pair in found if pair.family == "flux"}
    assert flux == {
        ("flowedit", "plain"): ("flowedit-flux",),
        ("uni_inv", "uni_edit"): ("uniedit-flux",),
        ("dnaedit", "dnaedit"): ("dnaedit-flux",),
        ("rf_inversion", "rf_inversion"): ("rf-inversion-flux",),
        ("rf_solver", "feature_sharing"): ("rf-solver-edit-flux",),
        ("fireflow", "feature_sharing"): ("fireflow-flux",),
    }
    fireflow = found[Pair("flux", "fireflow", "feature_sharing")].where
    assert fireflow.startswith("FireFlow (arXiv 2412.07517, ICML 2025) Table 4; run again in DNAEdit")
    table_1 = found[Pair("sd1", "direct", "p2p")]
    assert table_1.recipes == ("paper",) and "PnP Inversion (Ju et al., ICLR 2024)" in table_1.by_authors[0]
    assert found[Pair("sd1", "null_text", "pnp")].by_authors == ()  # the paper's reproduction alone has it


def test_one_family_is_listed_alone():
    printed = piebench("methods", "--family", "flux").stdout
    (row,) = (line.split() for line in printed.splitlines() if line.split()[:1] == ["uni_inv"])
    assert "P*" in row and "+" in row
    (line,) = (line for line in printed.splitlines() if line.startswith("- uni_inv+uni_edit"))
    assert "--config uniedit-flux: ProEdit" in line
    assert "inversion ddim: " not in printed and "family sd1" not in printed
    families = json.loads(piebench("methods", "--family", "flux", "--json").stdout)["family"]
    told = {(pair["inversion"], pair["method"]): pair for pair in families["flux"]["pairs"]}
    assert list(families) == ["flux"] and told.keys() == listed("flux").keys()
    assert told["uni_inv", "uni_edit"]["needs"] == ROWS and told["uni_inv", "plain"]["needs"] is None
    assert "joint-attention" in told["direct", "pnp"]["refused"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--family", "pixart"], "--family pixart: no family of models is called so; use sd1, sdxl,"),
        (["--family", "flux", "--recipe"], "leave out --recipe"),
    ],
)
def test_a_family_that_there_is_not_and_one_that_says_nothing(options, said):
    done = piebench("methods", *options)
    assert done.returncode == 2 and said in " ".join(done.stderr.split())
