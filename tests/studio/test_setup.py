"""Setups of the embedded model: recipes, controls, commands."""

import re
import shlex
import time

import numpy as np
import pytest

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.sample import Sample
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.overrides import parse_override
from piebench_eval.studio.changed_words import changed_words, require_prompts
from piebench_eval.studio.commands import Place, python_lines, run_commands
from piebench_eval.studio.knobs import changed_settings
from piebench_eval.studio.picture_folder import write_picture
from piebench_eval.studio.sample_search import search_samples
from piebench_eval.studio.setup import Setup, knobs_of_setup, known_combinations, require_combinations

SETUP = Setup(
    "demo",
    ("direct+p2p", "ddim+p2p", "ddim+pnp", "sdedit"),
    {
        "steps": 7,
        "method.p2p.cross_replace_steps": 0.3,
        "method.pnp.negative_prompt": "it's",
        "editor.sdedit.strength": 0.6,
    },
)


def sample(number, type_id="1", source="a red cat", target="a red dog", tmp_path=None):
    return Sample(f"{number:03d}", "x.png", tmp_path, source, target, "", type_id, "cat dog", ())


def test_each_combination_takes_the_settings_that_concern_it():
    assert SETUP.settings_of("direct+p2p") == {"steps": 7, "method.p2p.cross_replace_steps": 0.3}
    assert SETUP.settings_of("sdedit") == {"steps": 7, "editor.sdedit.strength": 0.6}
    recipe = SETUP.recipe("direct+p2p")
    assert (recipe.steps, recipe.methods["p2p"].cross_replace_steps) == (7, 0.3)
    assert recipe.methods["p2p"].blend_downsampling == 1  # of the demo's own recipe


def test_controls_show_what_the_models_recipe_says():
    knobs = knobs_of_setup(SETUP)
    assert {"all", "method p2p", "method pnp", "editor sdedit"} <= set(knobs)
    by_name = {knob.name: knob for of_part in knobs.values() for knob in of_part}
    assert by_name["steps"].default == 20
    assert by_name["method.p2p.cross_replace_steps"].default == 0.6
    assert "model" not in by_name and "inversions" not in by_name
    assert "quirks.pixel_overflow" in by_name and "quirks.rate_steps" not in by_name  # null-text's


def test_a_control_of_which_combinations_have_different_values_says_so():
    setup = Setup("demo", ("direct+p2p", "edit_friendly+p2p"))
    (guidance,) = (knob for knob in knobs_of_setup(setup)["all"] if knob.label == "guidance")
    assert guidance.default == 7.5 and "now 5.0 in edit_friendly+p2p" in guidance.description
    assert changed_settings([guidance], {"guidance": 7.5}) == {"guidance": 7.5}
    alone = Setup("demo", ("edit_friendly+p2p",))
    (guidance,) = (knob for knob in knobs_of_setup(alone)["all"] if knob.label == "guidance")
    assert guidance.default == 5 and changed_settings([guidance], {"guidance": 5}) == {}


def test_combinations_are_those_that_go_with_the_model():
    known = known_combinations("demo")
    assert {"direct+p2p", "null_text+masactrl", "sdedit"} <= set(known)
    assert "flowedit+plain" not in known and "flowedit+plain" in known_combinations("demo-flow")
    assert "instruct_pix2pix" not in known
    assert "instruct_pix2pix" in known_combinations("demo", ["instruct_pix2pix"])
    with pytest.raises(PiebenchError, match="choose at least one"):
        require_combinations([], known)
    with pytest.raises(PiebenchError, match="nothing: does not go"):
        require_combinations(["nothing"], known)


def test_the_command_lines_choose_exactly_what_is_shown(tmp_path):
    lines = run_commands(
        SETUP, sample(7, tmp_path=tmp_path / "x.png"), Place(tmp_path / "my data")
    ).splitlines()
    words = [shlex.split(line) for line in lines]
    chosen = []
    for line in words:
        option = {line[at]: line[at + 1] for at in range(2, len(line), 2)}
        assert (option["--data"], option["--ids"], option["--model"]) == (
            str(tmp_path / "my data"),
            "007",
            "demo",
        )
        assert option["--config"] == "demo"
        pairs = [
            (i, m) for i in option.get("--inversion", "").split(",") for m in option["--method"].split(",")
        ]
        chosen += [f"{i}+{m}" for i, m in pairs] + option.get("--editor", "").split()
    assert sorted(chosen) == sorted(SETUP.combinations)
    overrides = dict(
        parse_override(line[at + 1]) for line in words for at, word in enumerate(line) if word == "--set"
    )
    assert overrides == SETUP.settings
    assert len({line[-1] for line in words}) == len(words)


def test_the_python_lines_are_calls_of_edit(tmp_path):
    one = sample(7, source='a "cat"', tmp_path=tmp_path / "x.png")
    lines = python_lines(SETUP, one, Place()).splitlines()
    calls = []
    for line in lines[2:]:
        call = re.fullmatch(r"pb\.edit\((.*)\)\.save\('.*\.png'\)", line).group(1)
        calls.append(eval(f"(lambda *a, **k: (a, k))({call})"))
    assert [arguments[0] for arguments in calls] == [(str(one.file), 'a "cat"', "a red dog")] * 4
    assert calls[0][1]["settings"] == SETUP.settings_of("direct+p2p")
    assert calls[3][1]["editor"] == "sdedit" and calls[3][1]["blended_word"] == "cat dog"


def test_the_lines_read_pickles_where_the_studio_may(tmp_path):
    one, place = sample(7, tmp_path=tmp_path / "x.png"), Place(allow_pickle=True)
    assert all("--allow-pickle" in line for line in run_commands(SETUP, one, place).splitlines())
    assert all("allow_pickle=True" in line for line in python_lines(SETUP, one, place).splitlines()[2:])


def test_samples_are_found_by_id_type_and_words():
    samples = [sample(1), sample(2, "8", "a house", "a house on Mars"), sample(12, "8", "a dog", "a cat")]
    assert [found.id for found in search_samples(samples, "12")] == ["012"]
    assert [found.id for found in search_samples(samples, "MARS house")] == ["002"]
    assert [found.id for found in search_samples(samples, "cat", "8")] == ["012"]
    assert [found.id for found in search_samples(samples, "background")] == ["002", "012"]
    assert len(search_samples(samples, limit=2)) == 2


def test_changed_words_are_marked_in_both_prompts():
    marked = changed_words("a red cat on a chair", "a blue dog on a big chair")
    texts = ["".join(text for text, label in part if label).split() for part in marked]
    assert texts == [["red", "cat"], ["blue", "dog", "big"]]
    assert ["".join(text for text, _ in part).strip() for part in marked] == [
        "a red cat on a chair",
        "a blue dog on a big chair",
    ]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (("", "a dog"), "source prompt is empty"),
        (("a cat", " "), "target prompt is empty"),
        (("a cat", "a  cat"), "are the same"),
        (("a cat", "x" * 2001), "2001 characters"),
        (("a cat", "a dog", "a|b|c"), "blended word names 3 phrases"),
    ],
)
def test_prompts_that_ask_for_no_edit_are_refused(prompts, message):
    with pytest.raises(PiebenchError, match=message):
        require_prompts(*prompts)


def test_an_uploaded_picture_is_a_benchmark_of_one_sample(tmp_path):
    picture = np.zeros((8, 12, 3), np.uint8)
    mask = np.zeros((8, 12), bool)
    mask[2:4, 3:5] = True
    folder, one = write_picture(tmp_path, picture, "a cat", "a dog", "cat dog", "make it a dog", mask)
    (read,) = load_pie_bench(folder)
    assert read == one
    assert write_picture(tmp_path, picture, "a cat", "a dog", "cat dog", "make it a dog", mask)[0] == folder
    assert write_picture(tmp_path, picture, "a cat", "a bird")[0] != folder


def test_among_700_samples_those_with_the_words_are_found_at_once():
    samples = [sample(number, str(number % 10), f"a cat on chair {number}") for number in range(700)]
    began = time.process_time()
    for _ in range(20):
        assert [found.id for found in search_samples(samples, "chair 699")] == ["699"]
    assert (time.process_time() - began) / 20 < 0.05
    assert search_samples(samples, "zebra") == [] and search_samples(samples, "", "11") == []
