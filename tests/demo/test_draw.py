import numpy as np
import pytest

from piebench_eval.demo.draw import draw
from piebench_eval.demo.scene import BACKGROUND_COLORS, OBJECT_COLORS, SHAPES, Scene, Thing, random_scene


def share_of(picture, color):
    return (picture == np.array(color)).all(axis=2).mean()


@pytest.mark.parametrize(
    ("shape", "area"),
    [("circle", np.pi), ("square", 4 * 0.82**2), ("triangle", 3 * 3**0.5 / 4), ("star", 5 * 0.45 * 0.5878)],
)
@pytest.mark.parametrize("tilted", [False, True])
def test_a_shape_has_its_area(shape, area, tilted):
    picture = draw(Scene((Thing(shape, "red", radius=0.4, tilted=tilted),), "gray"), side=256)
    assert share_of(picture, OBJECT_COLORS["red"]) == pytest.approx(area * 0.4**2, rel=0.04)


def test_outlines_are_smooth():
    picture = draw(Scene((Thing("circle", "red"),), "gray"))
    pure = share_of(picture, OBJECT_COLORS["red"]) + share_of(picture, BACKGROUND_COLORS["gray"])
    assert 0.9 < pure < 1


@pytest.mark.parametrize("shape", SHAPES)
def test_upright_shapes_are_symmetric(shape):
    picture = draw(Scene((Thing(shape, "green"),), "white"))
    np.testing.assert_array_equal(picture, picture[:, ::-1])


def test_each_attribute_changes_the_picture():
    thing = Thing("square", "blue")
    variants = [
        Scene((thing,), "white"),
        Scene((thing,), "white", "striped"),
        Scene((thing,), "white", "dotted"),
        Scene((thing,), "white", "gradient"),
        Scene((thing,), "white", sketch=True),
        Scene((Thing("square", "blue", material="striped"),), "white"),
        Scene((Thing("square", "blue", material="dotted"),), "white"),
        Scene((Thing("square", "blue", tilted=True),), "white"),
        Scene((Thing("square", "blue", dot=True),), "white"),
    ]
    assert len({draw(scene).tobytes() for scene in variants}) == len(variants)


def test_a_seed_gives_one_picture():
    one, other = (draw(random_scene(np.random.default_rng(5))) for _ in range(2))
    np.testing.assert_array_equal(one, other)
