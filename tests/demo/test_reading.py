from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from piebench_eval.demo.draw import draw
from piebench_eval.demo.reading import read_scene, scene_in_words
from piebench_eval.demo.scene import Scene, Thing, caption, random_scene
from piebench_eval.demo.scene_edits import random_edit


def test_drawings_are_read_with_every_attribute():
    scenes = [random_scene(np.random.default_rng([7, seed])) for seed in range(60)]
    scenes = [scene for scene in scenes if not (scene.sketch and any(thing.dot for thing in scene.things))]
    right = sum(caption(read_scene(draw(scene))) == caption(scene) for scene in scenes)
    assert right >= 0.98 * len(scenes)


def says_the_same(one, other):
    return scene_in_words(one) == scene_in_words(other)


@pytest.mark.parametrize("type_id", "123456789")
def test_every_edit_is_told_from_its_source(type_id):
    for seed in range(2):
        edit = random_edit(type_id, np.random.default_rng(seed))
        source, target = draw(edit.source), draw(edit.target)
        assert says_the_same(target, target) and not says_the_same(source, target)


def test_places_and_small_flaws_do_not_count():
    scene = Scene((Thing("star", "red", material="striped"),), "pink", "gradient")
    moved = Scene((Thing("star", "red", 0.45, 0.55, 0.22, material="striped"),), "pink", "gradient")
    noise = np.random.default_rng(0).normal(0, 12, (64, 64, 3))
    flawed = np.clip(draw(moved) + noise, 0, 255).astype(np.uint8)
    flawed[3:6, 3:6] = 0
    assert says_the_same(draw(scene), flawed)
    assert says_the_same(draw(scene), np.array(Image.fromarray(flawed).resize((512, 512))))
    assert not says_the_same(draw(scene), draw(replace(scene, pattern="plain")))


def test_a_picture_of_something_else_is_read_too():
    for picture in (np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)):
        assert read_scene(picture) is not None
