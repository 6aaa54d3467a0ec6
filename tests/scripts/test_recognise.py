import numpy as np

from piebench_eval.demo.draw import draw
from piebench_eval.demo.scene import Scene, random_scene
from scripts.demo_training.recognise import recognise


def test_drawings_are_recognised():
    scenes = [random_scene(np.random.default_rng(seed), 1) for seed in range(60)]
    scenes = [scene for scene in scenes if not scene.sketch]
    right = 0
    for scene in scenes:
        seen = recognise(draw(scene))
        (thing,) = scene.things
        right += (seen.shape, seen.color, seen.background) == (thing.shape, thing.color, scene.background)
    assert right >= 0.98 * len(scenes)


def test_an_empty_scene_has_no_object():
    seen = recognise(draw(Scene((), "pink", "dotted")))
    assert (seen.shape, seen.color, seen.background) == (None, None, "pink")
