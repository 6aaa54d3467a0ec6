"""What does not go with a model is refused before its weights are read, with the reason and the remedy."""

from dataclasses import replace

import pytest

import piebench_eval as pb
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.families import FAMILIES
from piebench_eval.recipes.compatibility import (
    cautions,
    inversion_misfit,
    method_misfit,
    require_compatible,
)
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.jobs import model_specs
from piebench_eval.runs.machine import MachineOptions, WorkerSpec
from piebench_eval.runs.model_runner import ModelRunner
from piebench_eval.runs.plan import Selection, plan_run
from piebench_eval.settings import Settings
from tests.support.commands import piebench

HUB_ID = "nobody/known"
OF_NOISE = "along_noise"


@pytest.fixture(autouse=True)
def an_inversion_of_noise(monkeypatch):
    """One that steps along a diffusion schedule only."""
    of_noise = replace(INVERSIONS.get("ddim"), predicts=("epsilon",))
    monkeypatch.setattr(INVERSIONS, "_plugins", {OF_NOISE: (of_noise, "plugin")})


def recipe_of(model, inversions, methods, **fields):
    fields = {"model": str(model), "inversions": inversions, "methods": methods, "steps": 4, **fields}
    return build_recipe(fields, {}, "test")


def refused(recipe, loaded=None):
    with pytest.raises(PiebenchError) as caught:
        require_compatible([recipe.combination(*pair) for pair in recipe.pairs], loaded)
    return str(caught.value).split("\n")


def remedies(line):
    """The names that a refusal offers."""
    return set(line.partition("; use ")[2].replace(" or ", ", ").split(", "))


@pytest.mark.parametrize(
    ("family", "name"),
    [
        *((family, name) for family in FAMILIES for name in ("null_text", "negative_prompt")),
        *((name, "proximal") for name, family in FAMILIES.items() if "cross" in family.attention),
    ],
)
def test_what_needs_unconditional_rows_goes_where_they_are(family, name):
    misfit = inversion_misfit if name in INVERSIONS.names() else method_misfit
    family = FAMILIES[family]
    why = misfit(name, family, family.guidance)
    if family.guidance == "classifier_free":
        assert why is None
    else:
        assert why == (
            f"{name} needs unconditional rows (classifier-free guidance), and {family.title} takes the "
            "guidance scale as an input and has none"
        )


OF_TRANSFORMERS = replace(
    FAMILIES["sd1"], title="A transformer", attention=("joint",), predicts="velocity", schedule="uniform"
)
ON_JOINT_ATTENTION = {"p2p", "proximal", "masactrl", "value_sharing", "feature_sharing", "plain"}


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS.get(name).attention])
def test_methods_go_where_the_layers_are_that_they_control(name):
    why = method_misfit(name, OF_TRANSFORMERS, OF_TRANSFORMERS.guidance)
    if name in ON_JOINT_ATTENTION:
        assert why is None
    else:
        assert why.startswith(f"{name} controls self-") and why.endswith("A transformer has joint-attention")
    assert method_misfit("plain", OF_TRANSFORMERS, OF_TRANSFORMERS.guidance) is None


@pytest.mark.parametrize("name", ["pnp", "infedit"])
def test_what_does_not_carry_over_to_joint_attention_is_refused_by_name(name):
    (line,) = refused(recipe_of("unused", ["direct"], [name], family="sd1"), OF_TRANSFORMERS)
    assert line.startswith(f"direct+{name}: {name} controls self-")
    assert remedies(line) >= ON_JOINT_ATTENTION and name not in remedies(line)


def test_masactrls_masks_are_refused_on_joint_attention():
    masked = {"masactrl": {"mask_guided": True, "source_prompt": "sample"}}
    (line,) = refused(recipe_of("unused", ["direct"], masked, family="sd1"), OF_TRANSFORMERS)
    assert line == (
        "direct+masactrl: method.mask_guided=true: masks come from cross-attention, and A transformer has "
        "joint-attention; leave it at false"
    )
    recipe = recipe_of("unused", ["direct"], masked, family="sd1")
    require_compatible([recipe.combination("direct", "masactrl")], FAMILIES["sd1"])


@pytest.mark.parametrize("kinds", [("self", "cross"), (("self", "cross"),)])
def test_kinds_of_a_plugin_may_stand_alone(monkeypatch, kinds):
    """As plugins gave them before there were alternatives."""
    plugin = replace(METHODS.get("p2p"), attention=kinds)
    assert plugin.attention == (("self", "cross"),)
    monkeypatch.setattr(METHODS, "_plugins", {"outside": (plugin, "plugin")})
    assert method_misfit("outside", FAMILIES["sd1"], "classifier_free") is None
    assert method_misfit("outside", OF_TRANSFORMERS, "classifier_free") == (
        "outside controls self- and cross-attention, and A transformer has joint-attention"
    )


def test_all_of_a_recipe_is_refused_in_one_message(tiny_lcm):
    recipe = recipe_of(tiny_lcm, ["null_text", "direct"], ["p2p", "proximal"], steps=51, steps_offset=0)
    null_text, offset, steps, proximal = refused(recipe)
    assert null_text.startswith("null_text+p2p, null_text+proximal: null_text needs unconditional rows")
    assert {"ddim", "direct", "edit_friendly"} <= remedies(null_text)
    assert "negative_prompt" not in remedies(null_text)
    assert proximal.startswith("null_text+proximal, direct+proximal: proximal needs unconditional rows")
    assert {"p2p", "masactrl", "pnp"} <= remedies(proximal)
    everywhere = "null_text+p2p, null_text+proximal, direct+p2p, direct+proximal: "
    assert offset == (
        f"{everywhere}steps_offset=0 has no effect, since LCM has timesteps of its own; leave it at 1"
    )
    assert steps == f"{everywhere}steps=51: LCM has 50 timesteps; use 50 steps or fewer"


def test_an_inversion_along_noise_is_refused_for_a_velocity(tiny_instaflow):
    (line,) = refused(recipe_of(tiny_instaflow, [OF_NOISE], ["p2p"]))
    assert line.startswith(
        f"{OF_NOISE}+p2p: {OF_NOISE} steps along a diffusion schedule, and InstaFlow predicts a velocity; "
        "use "
    )
    assert "direct" in remedies(line)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"timesteps": [800, 600, 400, 200]}, "leave it out"),
        ({"steps_offset": 0}, "leave it at 1"),
        ({"set_alpha_to_one": True}, "leave it at False"),
        ({"guidance_policy": "embedded"}, "leave it at auto"),
        ({"quirks": {"added_shift": True}}, "leave it at false"),
    ],
)
def test_settings_that_a_flow_has_no_use_for(tiny_instaflow, fields, words):
    (line,) = refused(recipe_of(tiny_instaflow, ["direct"], ["p2p"], **fields))
    assert next(iter(fields)) in line and "InstaFlow" in line and line.endswith(words)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [({"regularisation_rounds": 5}, "leave it at 0"), ({"noise_levels": "cleaner"}, "leave it at sampling")],
)
def test_noise_is_not_regularised_where_none_is_predicted(tiny_instaflow, settings, remedy):
    (line,) = refused(recipe_of(tiny_instaflow, {"direct": settings}, ["p2p"]))
    assert f"inversion.{next(iter(settings))}=" in line and "InstaFlow" in line and line.endswith(remedy)


@pytest.mark.parametrize("settings", [{"scale": 0.5}, {"interval": 2}, {"solver": "fireflow"}])
def test_a_target_offset_is_whole_and_in_single_steps(settings):
    with pytest.raises(PiebenchError, match=r"target_offset: .*(set scale=1|choose another solver)"):
        recipe_of(HUB_ID, {"direct": {"target_offset": True, **settings}}, ["plain"])


def test_given_timesteps_are_what_an_lcm_is_sampled_at(tiny_lcm):
    recipe = recipe_of(tiny_lcm, ["direct"], ["p2p"], timesteps=[999, 759, 499, 259])
    require_compatible([recipe.combination("direct", "p2p")])


def test_a_run_and_a_sweep_are_refused_at_planning(tiny_lcm, photo_bench, tmp_path, monkeypatch):
    monkeypatch.setattr("piebench_eval.models.loading.load_model", None)
    recipe = recipe_of(tiny_lcm, ["null_text"], ["p2p"])
    with pytest.raises(PiebenchError, match=r"null_text\+p2p: .* use ddim"):
        plan_run(recipe, photo_bench, tmp_path / "run", Selection())
    command = ["run", "--data", photo_bench, "--model", tiny_lcm, "--inversion", "direct", "--method", "p2p"]
    swept = piebench(*command, "--sweep", "steps=4,51", "--out", tmp_path / "sweep")
    assert swept.returncode == 2 and "steps=51: LCM has 50 timesteps" in swept.stderr
    assert not (tmp_path / "run").exists() and not (tmp_path / "sweep/steps=4/images").exists()


def test_a_picture_is_refused_before_the_model_is_loaded(tiny_lcm, samples, monkeypatch):
    monkeypatch.setattr("piebench_eval.api.editing.load_model", None)
    with pytest.raises(PiebenchError, match=r"direct\+proximal: proximal needs unconditional rows"):
        pb.edit(samples[0].file, "a cat", "a dog", method="proximal", model=str(tiny_lcm))


def test_what_only_the_loaded_model_says_is_refused_then(tiny_lcm, samples, monkeypatch):
    """A hub id of which nothing is on this machine is of no family until it is loaded."""
    from piebench_eval.models.loading import load_model

    recipe = recipe_of(HUB_ID, ["null_text", "direct"], ["p2p"])
    require_compatible([recipe.combination(*pair) for pair in recipe.pairs])
    monkeypatch.setattr(
        "piebench_eval.models.loading.load_model", lambda *arguments, **options: load_model(str(tiny_lcm))
    )
    monkeypatch.setattr(
        "piebench_eval.api.editing.load_model", lambda *arguments, **options: load_model(str(tiny_lcm))
    )
    runner = ModelRunner(WorkerSpec(MachineOptions(), "cpu", None, 1, None, "session"), recipe)
    with pytest.raises(PiebenchError, match=r"^null_text\+p2p: null_text needs unconditional rows"):
        runner.load(model_specs(recipe)[0])
    with pytest.raises(PiebenchError, match=r"null_text\+p2p: null_text needs unconditional rows"):
        pb.edit(samples[0].file, "a cat", "a dog", inversion="null_text", model=HUB_ID, device="cpu")


def test_an_example_of_a_family_is_known_by_its_id():
    recipe = recipe_of(FAMILIES["instaflow"].example, [OF_NOISE], ["p2p"])
    assert "InstaFlow" in refused(recipe)[0]


@pytest.mark.parametrize(
    ("inversion", "setting", "value", "said"),
    [
        ("edit_friendly", "skip", 50, "leaves none of 50 steps"),
        ("turboedit", "noise_timesteps", [599, 0], "are 2, but steps is 50"),
    ],
)
def test_an_inversion_that_does_not_go_with_the_step_count_is_refused(
    tiny_model, inversion, setting, value, said
):
    fields = {"model": str(tiny_model), "inversions": {inversion: {setting: value}}, "methods": ["plain"]}
    (line,) = refused(build_recipe(fields, {}, "test"))
    assert f"inversion.{inversion}.{setting}" in line and said in line


def test_a_negative_prompt_without_unconditional_rows_is_refused(tiny_lcm):
    fields = {"inversions": ["direct"], "methods": {"plain": {"negative_prompt": "source"}}}
    recipe = build_recipe({**fields, "model": str(tiny_lcm)}, {}, "test")
    (line,) = refused(recipe)
    assert "negative_prompt=source" in line and "guidance_policy=classifier_free" in line
    require_compatible(
        [
            build_recipe(recipe.model_dump(), {"guidance_policy": "classifier_free"}, "test").combination(
                "direct", "plain"
            )
        ]
    )


@pytest.mark.parametrize("setting", ["clip_length", "t5_length"])
def test_numbers_of_tokens_are_for_models_with_t5(tiny_model, tiny_sdxl, tiny_sd3, setting):
    for folder, title in ((tiny_model, "Stable Diffusion 1.x"), (tiny_sdxl, "Stable Diffusion XL")):
        (line,) = refused(recipe_of(folder, ["direct"], ["plain"], **{setting: 64}))
        assert line.startswith(f"direct+plain: {setting}=64: {title} has no T5")
        assert line.endswith("leave it out")
    recipe = recipe_of(tiny_sd3, ["direct"], ["plain"], **{setting: 64})
    require_compatible([recipe.combination("direct", "plain")])
    (model,) = model_specs(recipe)
    assert getattr(model, setting) == 64


def test_stable_diffusion_3_has_timesteps_of_its_own(tiny_sd3):
    (line,) = refused(recipe_of(tiny_sd3, ["direct"], ["plain"], timesteps=[800, 600, 400, 200]))
    assert "Stable Diffusion 3 has timesteps of its own" in line and line.endswith("leave it out")
    (line,) = refused(recipe_of(tiny_sd3, ["direct"], ["pnp"]))
    assert line.startswith("direct+pnp: pnp controls ") and "Stable Diffusion 3 has joint-attention" in line


def test_a_plugins_solver_is_its_own_setting(monkeypatch, tiny_model):
    class PluginSettings(Settings):
        solver: str = "dpm"

    plugin = replace(INVERSIONS.get("ddim"), settings=PluginSettings)
    monkeypatch.setattr(INVERSIONS, "_plugins", {"of_plugin": (plugin, "plugin")})
    require_compatible([recipe_of(tiny_model, ["of_plugin"], ["plain"]).combination("of_plugin", "plain")])
    with_solver = build_recipe(
        {"model": str(tiny_model), "inversions": ["direct"], "methods": ["plain"]},
        {"inversion.solver": "midpoint"},
        "test",
    )
    assert "inversion.solver=midpoint" in refused(with_solver)[0]


SOURCE = {"plain": {"negative_prompt": "source"}}


def cautioned(inversion, method, **fields):
    methods = method if isinstance(method, dict) else [method]
    recipe = recipe_of(HUB_ID, [inversion], methods, **fields)
    return cautions([recipe.combination(*pair) for pair in recipe.pairs])


@pytest.mark.parametrize(
    ("inversion", "method", "scales", "remedy"),
    [
        ("flowedit", "plain", {}, "--set source_guidance=3.5 --guidance 13.5, or --config flowedit-sd3"),
        ("flowedit", "p2p", {"guidance": 3, "source_guidance": 3}, "or --config flowedit-sd3"),
        ("flow_align", SOURCE, {"guidance": 13.5}, "--set source_guidance=1, or --config flowalign-sd3"),
        ("flow_align", "plain", {"source_guidance": 1}, "authors; --set method.negative_prompt=source"),
        ("dnaedit", "dnaedit", {"source_guidance": 2}, "--set source_guidance=1, or --config dnaedit-sd3"),
        ("uni_inv", "uni_edit", {}, "--guidance 1, or --config uniedit-sd3"),
        ("edict", "p2p", {"guidance": 3, "source_guidance": 1}, "--guidance 3, or --config edict"),
        ("ddim", "pix2pix_zero", {}, "--set source_guidance=1, or --config pix2pix-zero"),
    ],
)
def test_scales_that_an_editor_is_not_published_with_are_cautioned(inversion, method, scales, remedy):
    (caution,) = cautioned(inversion, method, **scales)
    (name,) = method if isinstance(method, dict) else [method]
    assert caution.startswith(f"{inversion}+{name}: ") and caution.endswith(remedy)


@pytest.mark.parametrize(
    ("inversion", "method", "scales"),
    [
        ("flowedit", "plain", {"guidance": 13.5, "source_guidance": 3.5}),
        ("flow_align", SOURCE, {"guidance": 13.5, "source_guidance": 1}),
        ("flow_align", "plain", {"guidance": 1, "source_guidance": 1}),
        ("flow_align", "p2p", {"guidance": 13.5, "source_guidance": 1}),
        ("flow_align", "plain", {"source_guidance": 1, "family": "flux"}),
        ("dnaedit", "dnaedit", {"guidance": 3.5, "source_guidance": 1}),
        ("uni_inv", "uni_edit", {"guidance": 1}),
        ("direct", "p2p", {}),
        ("edict", "plain", {"guidance": 3}),
        ("direct", "pix2pix_zero", {"source_guidance": 1}),
    ],
)
def test_published_scales_are_not(inversion, method, scales):
    assert cautioned(inversion, method, **scales) == []


def test_a_caution_is_told_once_for_all_its_combinations():
    recipe = recipe_of(HUB_ID, ["flowedit", "euler"], ["plain", "uni_edit"])
    of_flowedit, of_uni_edit = cautions([recipe.combination(*pair) for pair in recipe.pairs])
    assert of_flowedit.startswith("flowedit+plain, flowedit+uni_edit: ")
    assert of_uni_edit.startswith("flowedit+uni_edit, euler+uni_edit: ")


def test_a_run_is_planned_with_the_caution_as_a_warning(photo_bench, tiny_sd3, tmp_path):
    recipe = recipe_of(tiny_sd3, ["flowedit"], ["plain"], guidance=6.25, output_resolution=16)
    with pytest.warns(PiebenchWarning, match=r"flowedit\+plain: flowedit has the guidance scale 6\.25"):
        plan_run(recipe, photo_bench, tmp_path / "run", Selection(limit=1))
