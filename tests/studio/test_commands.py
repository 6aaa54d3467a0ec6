"""The copied commands, executed: the same pixels as the studio's."""

import shlex

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.recipes.overrides import parse_override
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio import actions
from piebench_eval.studio.actions import Shown
from piebench_eval.studio.session import Studio
from piebench_eval.studio.sources import Source, Texts
from tests.support.commands import piebench

NASTY = Texts(
    "a 'red' \"square\" $HOME `ls` — schön",
    "a 'blue' \"square\" $HOME `ls` — schön; \\ é",
    "'red'|'blue'",
    "paint it\nblue 'now'",
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory, drawn, drawn_samples):
    folder = tmp_path_factory.mktemp("the studio's")
    return Studio("demo", MachineOptions(devices="cpu"), folder, drawn_samples, drawn)


def of_studio(studio, shown):
    setup = actions.setup_of(studio, shown)
    _, sample = actions._sample(studio, shown)
    made = [task(lambda progress: None, lambda: False) for task in studio.tasks(setup, sample)]
    return {one.name: np.asarray(Image.open(one.file)) for one in made}


def of_shell(shell, folder):
    """Every line as a shell would split it, in a folder of its own."""
    found = {}
    for place, line in enumerate(shell.split("\npiebench ")):
        words = shlex.split(line.removeprefix("piebench "))
        out = folder / f"{place} {words.pop()}"
        assert words.pop() == "--out"
        done = piebench(*words, "--out", out)
        assert done.returncode == 0, done.stderr
        (images,) = out.glob("images")
        for file in images.rglob("*.png"):
            found[file.relative_to(images).parts[0]] = np.asarray(Image.open(file))
    return found


def of_python(python, monkeypatch, folder):
    monkeypatch.chdir(folder)
    exec(compile(python, "copied", "exec"), {})
    return {file.stem: np.asarray(Image.open(file)) for file in folder.glob("*.png")}


def require_equal(studio, shown, monkeypatch, folder):
    shell, python = actions.commands(studio, shown)
    wanted = of_studio(studio, shown)
    assert {*wanted} == {*shown.combinations}
    for found in (of_shell(shell, folder), of_python(python, monkeypatch, folder)):
        assert {*found} == {*wanted}
        for name, picture in wanted.items():
            assert (found[name] == picture).all(), name


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(("sdedit",), marks=pytest.mark.slow),
        pytest.param(("direct+p2p", "edit_friendly+pnp", "ledits_pp"), marks=pytest.mark.slow),
        pytest.param(("null_text+masactrl", "ddim+masactrl"), marks=pytest.mark.slow),
    ],
    ids="+".join,
)
def test_a_samples_commands_make_the_same_pictures(studio, monkeypatch, tmp_path, chosen):
    one = studio.samples[5]
    controls = {"steps": 2, "method.p2p.cross_replace_steps": 0.3, "editor.sdedit.strength": 0.7}
    shown = Shown(Source(one.file, one), Texts.of(one), chosen, controls)
    require_equal(studio, shown, monkeypatch, tmp_path)


@pytest.mark.parametrize(
    "chosen",
    [
        ("direct+p2p", "blended_latent_diffusion"),
        pytest.param(("inpainting", "direct+p2p", "ddim+p2p"), marks=pytest.mark.slow),
    ],
    ids="+".join,
)
def test_the_commands_of_a_picture_of_ones_own_make_the_same_pictures(studio, monkeypatch, tmp_path, chosen):
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    file = tmp_path / "my 'picture'.png"
    Image.fromarray(picture).save(file)
    taken = actions.upload(studio, file, Shown(None, NASTY, ("direct+p2p",)))
    mask = np.zeros((90, 120), bool)
    mask[20:50, 40:80] = True
    file.unlink()
    shown = Shown(
        taken.shown.source.with_mask(mask),
        NASTY,
        chosen,
        {"steps": 2, "inpainting/steps": 3, "inpainting/guidance": 3.0},
    )
    require_equal(studio, shown, monkeypatch, tmp_path)


@pytest.mark.slow
def test_the_commands_of_an_embedded_sample_make_the_same_pictures(monkeypatch, tmp_path):
    samples = load_pie_bench(embedded_benchmark(tmp_path / "benchmark"))
    studio, one = Studio("demo", MachineOptions(devices="cpu"), tmp_path, samples), samples[17]
    shown = Shown(Source(one.file, one), Texts.of(one), ("direct+p2p", "inpainting"), {"inpainting/steps": 3})
    require_equal(studio, shown, monkeypatch, tmp_path)


def test_texts_with_line_ends_stay_one_word_of_the_shell(studio):
    one = studio.samples[0]
    controls = {"method.pnp.negative_prompt": "two\nlines: 'x' \u2028 ü", "seed": 5}
    shown = Shown(Source(one.file, one), Texts.of(one), ("ddim+pnp",), controls)
    shell, python = actions.commands(studio, shown)
    assert len(shell.splitlines()) == 1
    words = shlex.split(shell)
    given = dict(parse_override(words[at + 1]) for at, word in enumerate(words) if word == "--set")
    assert given == controls and repr(controls["method.pnp.negative_prompt"]) in python
    compile(python, "copied", "exec")
