import pytest
import yaml

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.quirks import Quirks, SettingsWithQuirks, own_fields, quirks_read_by
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.combination import CommonSettings, with_former_defaults
from piebench_eval.recipes.overrides import parse_override
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.recipes.subset import select_combinations
from tests.support.recipes import shipped

FIELDS = {"model": "a/b", "inversions": ["ddim", "direct"], "methods": ["p2p"]}


def build(overrides=None, **fields):
    return build_recipe({**FIELDS, **fields}, overrides or {}, "test")


def test_defaults_are_the_papers():
    recipe = build()
    assert (recipe.steps, recipe.guidance, recipe.seed) == (50, 7.5, 1234)
    assert recipe.pairs == [("ddim", "p2p"), ("direct", "p2p")]


def test_yaml_round_trip_keeps_the_hash():
    recipe = build({"method.cross_replace_steps": 0.8, "steps": 20})
    again = build_recipe(yaml.safe_load(recipe.to_yaml()), {}, "test")
    assert again == recipe
    assert again.hash == recipe.hash != build().hash


def test_overrides_reach_every_inversion_or_one():
    assert {s.guidance for s in build({"inversion.guidance": 2}).inversions.values()} == {2}
    one = build({"inversion.direct.guidance": 2})
    assert (one.inversions["ddim"].guidance, one.inversions["direct"].guidance) == (1, 2)


@pytest.mark.parametrize("order", [1, -1])
def test_settings_that_need_each_other_come_in_any_order(order):
    guided = {"method.mask_guided": True, "method.source_prompt": "sample"}
    methods = build(dict([*guided.items()][::order]), methods=["masactrl"]).methods
    assert methods["masactrl"].mask_guided
    moved = {"method.start": 0.5, "method.stop": 0.75}
    methods = build(dict([*moved.items()][::order]), methods=["rf_inversion"]).methods
    assert (methods["rf_inversion"].start, methods["rf_inversion"].stop) == (0.5, 0.75)


def test_null_empties_a_field(tmp_path):
    file = tmp_path / "recipe.yaml"
    fields = {**FIELDS, "inversions": {"flowedit": {"n_max": 33}}, "source_guidance": 3.5}
    file.write_text(yaml.safe_dump(fields), encoding="utf-8")
    overrides = dict(parse_override(text) for text in ("inversion.n_max=null", "source_guidance="))
    recipe, _ = RunConfig(file, "demo", overrides).build()
    assert recipe.inversions["flowedit"].n_max is None and recipe.source_guidance is None


def test_the_recipes_own_path_works_too():
    assert build({"methods.p2p.controller": "auto"}) == build({"method.controller": "auto"})


def test_overrides_add_up():
    recipe = build({"method.controller": "auto", "method.blend_start": 0.3})
    assert (recipe.methods["p2p"].controller, recipe.methods["p2p"].blend_start) == ("auto", 0.3)


@pytest.mark.parametrize(
    "overrides",
    [
        {"method.cross": 1},
        {"method.masactrl.step": 1},
        {"inversion.": 1},
        {"nothing": 1},
        {"inversions": ["ddim"]},
        {"steps": 0},
        {"steps": "many"},
        {"guidance": float("inf")},
        {"method.cross_replace_steps": 3},
        {"image_format": "gif"},
        {"image_format": "jpeg:200"},
        {"precision": "int8"},
    ],
)
def test_bad_overrides_name_the_field(overrides):
    with pytest.raises(PiebenchError) as caught:
        build(overrides)
    assert next(iter(overrides)).split(".")[-1] in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"inversions": ["dimm"]},
        {"methods": []},
        {"methods": {"p2p": {"steps": 3}}},
        {"methods": 3},
        {"methods": [["p2p"]]},
        {"unknown": 1},
        {"model": None},
    ],
)
def test_bad_fields(fields):
    with pytest.raises(PiebenchError):
        build(**fields)


def test_differences_are_listed():
    lines = build().differences(build({"steps": 20, "method.controller": "auto"}))
    assert lines == ["steps: 50 -> 20", "methods.p2p.controller: refine -> auto"]
    assert build().differences(build()) == []


def test_parse_override():
    assert parse_override("a.b=[1, 2]") == ("a.b", [1, 2])
    assert parse_override("revision=main") == ("revision", "main")
    for wrong in ("steps", "=3", ""):
        with pytest.raises(PiebenchError):
            parse_override(wrong)


OWN = {
    "ddim+p2p": {"model": "c/d", "steps": 20, "inversion": {"guidance": 2}},
    "direct+p2p": {"method": {"controller": "auto", "blend_start": 0.3}},
}


def test_a_combination_has_values_of_its_own():
    recipe = build(combinations=OWN)
    ddim, direct = recipe.combination("ddim", "p2p"), recipe.combination("direct", "p2p")
    assert (ddim.common.model, ddim.common.steps, ddim.inversion_settings.guidance) == ("c/d", 20, 2)
    assert (direct.common.model, direct.common.steps, direct.inversion_settings.guidance) == ("a/b", 50, 1)
    assert (ddim.method_settings.controller, direct.method_settings.controller) == ("refine", "auto")
    assert recipe.hash != build().hash
    again = build_recipe(yaml.safe_load(recipe.to_yaml()), {}, "test")
    assert again == recipe


def test_only_listed_combinations_run():
    recipe = build(combinations={"direct+p2p": None}, methods=["p2p", "pnp"])
    assert recipe.pairs == [("direct", "p2p")]


def test_what_is_overridden_holds_for_every_combination():
    recipe = build(
        {"model": "e/f", "steps": 10, "inversion.guidance": 3, "method.p2p.controller": "replace"},
        combinations=OWN,
    )
    for pair in recipe.pairs:
        combination = recipe.combination(*pair)
        assert (combination.common.model, combination.common.steps) == ("e/f", 10)
        assert combination.inversion_settings.guidance == 3
        assert combination.method_settings.controller == "replace"
    assert recipe.combination("direct", "p2p").method_settings.blend_start == 0.3
    one = build({"inversion.direct.guidance": 3}, combinations=OWN)
    assert one.combination("ddim", "p2p").inversion_settings.guidance == 2


@pytest.mark.parametrize(
    ("combinations", "named"),
    [
        ({}, "combinations"),
        ({"ddim": {}}, "combinations.ddim"),
        ({"ddim+pnp": {}}, "combinations.ddim+pnp"),
        ({"ddim+p2p": {"stepps": 3}}, "combinations.ddim+p2p.stepps"),
        ({"ddim+p2p": {"steps": 0}}, "combinations.ddim+p2p.steps"),
        ({"ddim+p2p": {"method": {"nothing": 1}}}, "combinations.ddim+p2p: method.p2p.nothing"),
        ({"ddim+p2p": {"image_format": "png"}}, "combinations.ddim+p2p.image_format"),
        ({"ddim+p2p": 3}, "combinations.ddim+p2p"),
        ({"ddim+p2p": {"method": 3}}, "combinations.ddim+p2p: method"),
        (["ddim+p2p"], "combinations"),
    ],
)
def test_combinations_that_do_not_fit_are_named(combinations, named):
    with pytest.raises(PiebenchError) as caught:
        build(combinations=combinations)
    assert named in str(caught.value)


def test_names_narrow_a_recipe():
    paper = read_recipe_fields(recipe_file("paper"))
    assert build_recipe(select_combinations(paper, ["direct"], None, "x"), {}, "x").pairs == [
        ("direct", "p2p"),
        ("direct", "masactrl"),
        ("direct", "pnp"),
    ]
    one = build_recipe(select_combinations(paper, ["ddim"], ["pnp"], "x"), {}, "x")
    settings = one.combination("ddim", "pnp").inversion_settings
    assert settings.source_latents == "reconstruction" and settings.quirks.shifted_reconstruction
    assert build_recipe(select_combinations(FIELDS, ["ddim"], ["pnp", "p2p"], "x"), {}, "x").pairs == [
        ("ddim", "pnp"),
        ("ddim", "p2p"),
    ]
    for names in ((["null_text"], ["pnp"]), (["nothing"], None), (["direct"], ["proximal"])):
        with pytest.raises(PiebenchError, match=r"paper\.yaml has no such combination"):
            select_combinations(paper, *names, "configs/paper.yaml")
    with pytest.raises(PiebenchError, match=r"direct\+pnp; --config edict has it$"):
        select_combinations(paper, ["edict"], None, "paper")
    with pytest.raises(PiebenchError, match=r"direct\+pnp$"):
        select_combinations(paper, ["null_text"], ["pnp"], "paper")
    with pytest.raises(PiebenchError, match="--method"):
        select_combinations({"model": "a"}, ["ddim"], None, "x")


def test_recipes_in_configs():
    table1, paper, demo = (shipped(name) for name in ("table1", "paper", "demo"))
    assert len(table1.pairs) == 12 == len(set(table1.pairs))
    assert {table1.combination(*pair).common.model for pair in table1.pairs} == {
        "CompVis/stable-diffusion-v1-4"
    }
    assert paper.combination("direct", "pnp").common.model.endswith("v1-5")
    for pair in set(table1.pairs) & set(paper.pairs):
        ours, theirs = (with_former_defaults(one.combination(*pair).flat()) for one in (table1, paper))
        assert {field for field in ours if ours[field] != theirs[field]} <= {"model"}
    assert demo.model == "demo"


def test_a_recipe_spells_out_what_the_papers_scripts_do():
    """Every setting of the paper's inversions and methods stands in configs/paper.yaml, default or not."""
    fields = read_recipe_fields(recipe_file("paper"))
    recipe = build_recipe(fields, {}, "paper")
    for section in ("inversions", "methods"):
        for name, settings in getattr(recipe, section).items():
            hidden = set(own_fields(type(settings))) - set(fields[section][name])
            assert hidden <= {"mask_threshold", "mask_downsampling"}, name
    assert set(CommonSettings.model_fields) - set(fields) == {"revision", "prompt_from"}
    assert set(fields["quirks"]) == set(Quirks.model_fields)


def test_quirks_are_a_section_apart_that_a_combination_may_change():
    own = {"direct+p2p": {"quirks": {"pixel_overflow": "wrap"}}, "ddim+p2p": {}}
    recipe = build(combinations=own, quirks={"lost_blend_word": "reconstruct"})
    ddim, direct = recipe.combination("ddim", "p2p"), recipe.combination("direct", "p2p")
    assert [one.common.quirks.pixel_overflow for one in (ddim, direct)] == ["clamp", "wrap"]
    assert {one.method_settings.quirks.lost_blend_word for one in (ddim, direct)} == {"reconstruct"}
    assert build({"quirks.pixel_overflow": "clamp"}, combinations=own).combination(
        "direct", "p2p"
    ).common.quirks == Quirks(pixel_overflow="clamp")
    assert build({"quirks.blend_maps": "raw"}).methods["p2p"] == build().methods["p2p"]


def test_a_combination_tells_the_quirks_that_it_reads():
    quirks = {
        pair: {key for key in build(methods=["p2p", "pnp"]).combination(*pair).flat() if "quirks" in key}
        for pair in (("ddim", "p2p"), ("direct", "pnp"))
    }
    of_every_edit = ("pixel_overflow", "noise_on_device", "added_shift", "count_skipped_steps")
    every = {f"quirks.{name}" for name in of_every_edit}
    assert quirks["ddim", "p2p"] - every == {
        "quirks.blend_maps",
        "quirks.lost_blend_word",
        "quirks.shifted_reconstruction",
    }
    assert quirks["direct", "pnp"] - every == {"quirks.split_punctuation"}


@pytest.mark.parametrize("registry", [INVERSIONS, METHODS], ids=lambda registry: registry.kind)
def test_what_reads_quirks_is_given_them(registry):
    for name in registry.names():
        reads = issubclass(registry.get(name).settings, SettingsWithQuirks)
        assert reads == bool(quirks_read_by({name})), name


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"pixel_overflow": "wrap"}, "quirks.pixel_overflow"),
        ({"methods": {"p2p": {"blend_maps": "raw"}}}, "quirks.blend_maps"),
        ({"inversions": {"null_text": {"rate_steps": 3}}}, "quirks.rate_steps"),
        ({"inversions": {"ddim": {"source_latents": "shifted_reconstruction"}}}, "quirks.shifted_recon"),
        ({"combinations": {"ddim+p2p": {"pixel_overflow": "wrap"}}}, "quirks.pixel_overflow"),
        ({"combinations": {"ddim+p2p": {"method": {"lost_blend_word": "edit"}}}}, "quirks.lost_blend_word"),
        ({"methods": {"p2p": {"quirks": {"blend_maps": "raw"}}}}, "method.p2p.quirks: is no setting"),
        ({"quirks": {"blend_mapz": "raw"}}, "quirks.blend_mapz: no such field; is quirks.blend_maps"),
    ],
)
def test_a_quirk_in_its_former_place_is_shown_the_new_one(fields, place):
    with pytest.raises(PiebenchError, match=place):
        build(**fields)


@pytest.mark.parametrize("key", ["pixel_overflow", "method.blend_maps", "method.p2p.blend_maps"])
def test_so_is_one_that_is_set(key):
    with pytest.raises(PiebenchError, match=rf"--set {key}: is quirks.{key.split('.')[-1]} now"):
        build({key: "raw"})


def test_one_name_may_stand_for_a_list_beside_combinations():
    fields = {**FIELDS, "inversions": "ddim", "methods": "p2p", "combinations": {"ddim+p2p": None}}
    recipe = build_recipe(select_combinations(fields, None, None, "x"), {}, "x")
    assert recipe.pairs == [("ddim", "p2p")]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"n_max": 30}, "--set n_max: no such field; is inversion.n_max meant?"),
        ({"source_guidanse": 3.5}, "--set source_guidanse: no such field; is source_guidance"),
        (
            {"inversion.source_guidance": 3.5},
            "--set inversion.source_guidance: no inversion of this recipe (flowedit) has that setting; is "
            "source_guidance meant?",
        ),
        (
            {"inversion.nmax": 30},
            "--set inversion.nmax: no inversion of this recipe (flowedit) has that setting; there are: "
            "n_avg, n_max, n_min",
        ),
    ],
)
def test_a_setting_in_the_wrong_section_is_told_its_own(overrides, message):
    with pytest.raises(PiebenchError) as refused:
        build(overrides, inversions=["flowedit"])
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"inversions": {"flowedit": {"n_max": 10, "n_min": 11}}},
            "inversion.flowedit: n_min=11: is more than n_max=10; make it smaller",
        ),
        ({"steps": 4, "timesteps": [9, 1]}, "test: timesteps: are 2, but steps is 4; make them equal"),
        (
            {"combinations": {"ddim+p2p": {"timesteps": [1, 9]}}},
            "combinations.ddim+p2p: timesteps: must descend, the noisiest first",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_told_in_our_words_alone(fields, message):
    with pytest.raises(PiebenchError) as refused:
        build(**fields)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("name", "meant"), [("FlowEdit", "flowedit"), ("flow_edit", "flowedit"), ("fire-flow", "fireflow")]
)
def test_an_inversion_that_is_nearly_called_so_is_named(name, meant):
    with pytest.raises(PiebenchError, match=rf"no inversion is called '{name}'; is {meant}\b.* meant\?"):
        build(inversions=[name])


def test_a_listed_combination_of_an_unknown_inversion_is_not_left_out_silently():
    fields = {**FIELDS, "combinations": {"dirct+p2p": {}, "ddim+p2p": {}}}
    with pytest.raises(PiebenchError, match=r"combinations\.dirct\+p2p: dirct is not among"):
        select_combinations(fields, None, None, "x")
