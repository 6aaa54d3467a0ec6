import numpy as np
import pytest

from piebench_eval.demo.scene import OBJECT_COLORS, SHAPES, Scene, Thing, caption, random_scene


def scenes(number=300):
    return [random_scene(np.random.default_rng(seed)) for seed in range(number)]


def test_colors_in_a_scene_are_told_apart():
    for scene in scenes():
        colors = [thing.color for thing in scene.things]
        assert len(set(colors)) == len(colors)
        assert scene.background not in colors


def test_objects_lie_inside_the_picture_and_from_left_to_right():
    for scene in scenes():
        assert [thing.x for thing in scene.things] == sorted(thing.x for thing in scene.things)
        for thing in scene.things:
            assert thing.radius <= thing.x <= 1 - thing.radius
            assert thing.radius <= thing.y <= 1 - thing.radius


def test_everything_occurs():
    things = [thing for scene in scenes() for thing in scene.things]
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.color for thing in things} == set(OBJECT_COLORS)
    assert {len(scene.things) for scene in scenes()} == {0, 1, 2}
    assert any(thing.tilted for thing in things) and any(thing.dot for thing in things)
    assert not any(thing.tilted for thing in things if thing.shape == "circle")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_number_of_objects_can_be_asked_for(count):
    assert len(random_scene(np.random.default_rng(3), count).things) == count


def test_two_objects_are_joined_and_an_empty_scene_is_its_background():
    things = (Thing("circle", "red"), Thing("star", "orange"))
    assert caption(Scene(things, "pink"), joint="next to") == (
        "a red circle next to an orange star on a pink background"
    )
    assert caption(Scene((), "pink", "striped"), "a picture of") == "a picture of a striped pink background"
