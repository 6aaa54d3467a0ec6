"""Masks that are made for pictures of another size."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from piebench_eval.data.mask_size import other_size, parse_mask_size
from piebench_eval.data.masks import decode_rle, encode_rle, load_mask, scale_rle, set_frame
from piebench_eval.data.pie_bench import dataset_fingerprint, load_pie_bench
from piebench_eval.data.summary import summarise
from piebench_eval.errors import DataError, PiebenchError
from piebench_eval.runs.shard import Shard
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.manifest import describe_session
from piebench_eval.scoring.evaluation_set import evaluation_set_of
from tests.support.photos import ANNOTATIONS, save_photo_bench

SHAPES = ("ellipse", "rectangle", "polygon")


def drawn(width, height, shape="ellipse"):
    """A mask [height, width] with one shape in it."""
    image = Image.new("1", (width, height))
    box = [width // 5, height // 4, width * 3 // 5, height * 3 // 4]
    if shape == "polygon":
        box = [(width // 4, height // 5), (width * 3 // 4, height // 2), (width // 3, height * 4 // 5)]
    getattr(ImageDraw.Draw(image), shape)(box, fill=1)
    return np.array(image)


def bench(folder, masks, side=128):
    """A benchmark with square pictures and these run-length lists."""
    folder.mkdir()
    for number in range(len(masks)):
        file = folder / "annotation_images" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.effect_noise((side, side), 50 + number).convert("RGB").save(file)
    annotations = {
        str(number): ANNOTATIONS["000000000001"] | {"image_path": f"{number}.png", "mask": mask}
        for number, mask in enumerate(masks)
    }
    (folder / "mapping_file.json").write_text(json.dumps(annotations))
    return folder


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_a_mask_speaks_of_its_size(size, shape, framed):
    mask = drawn(*size, shape)
    rle = encode_rle(set_frame(mask) if framed else mask)
    assert other_size(rle, size) is None
    assert other_size(encode_rle(~mask), size) is None
    for factor in (0.5, 2):
        found = other_size(rle, (int(size[0] * factor), int(size[1] * factor)))
        assert found is not None and found.size == size
        assert found.sure == (framed or factor < 1)


def test_turned_pictures_have_other_masks():
    """As of camera pictures whose masks were drawn before their orientation was followed."""
    rle = encode_rle(drawn(96, 64))
    assert other_size(rle, (64, 96)).size == (96, 64)


def test_official_masks_need_no_look(monkeypatch):
    monkeypatch.setattr("piebench_eval.data.mask_size.decode_rle", lambda *_: pytest.fail())
    assert other_size([0, 600, 512 * 512 - 600, 600], (512, 512)) is None
    assert other_size([], (512, 512)) is None


def test_stripes_and_spots_are_no_other_size():
    stripes = np.zeros((64, 64), dtype=bool)
    stripes[1:63, 3::8] = True
    for mask in (stripes, stripes.T, ~stripes):
        assert other_size(encode_rle(mask), (64, 64)) is None
    assert other_size([1000, 60], (128, 128)) is None


@pytest.mark.parametrize(("made_for", "side"), [(64, 128), (256, 128)])
def test_a_benchmark_of_other_masks_is_refused_with_the_remedy(tmp_path, made_for, side):
    masks = [encode_rle(drawn(made_for, made_for, shape)) for shape in SHAPES]
    folder = bench(tmp_path / "bench", masks, side)
    with pytest.raises(DataError) as refusal:
        load_pie_bench(folder)
    text = str(refusal.value)
    assert "3 of 3 masks" in text and f"{made_for}x{made_for} on a picture of {side}x{side}" in text
    option = re.search(r"--mask-size (\S+),", text)[1]
    for sample, shape in zip(load_pie_bench(folder, parse_mask_size(option)), SHAPES, strict=True):
        expected = drawn(side, side, shape)
        assert (load_mask(sample) != expected).mean() < 0.02


def test_a_mask_over_everything_covers_the_whole_picture(tmp_path):
    folder = bench(tmp_path / "bench", [[0, 64 * 64]])
    with pytest.raises(DataError, match="--mask-size 64,"):
        load_pie_bench(folder)
    assert summarise(load_pie_bench(folder, (64, 64)))[0].full_masks == 1
    assert load_mask(load_pie_bench(folder, (128, 128))[0])[1:32, 1:-1].all()


def test_one_doubtful_mask_among_many_is_no_mistake(tmp_path):
    own = [encode_rle(drawn(128, 128, shape)) for shape in SHAPES]
    folder = bench(tmp_path / "bench", [*own, encode_rle(drawn(64, 64))])
    assert len(load_pie_bench(folder)) == 4
    framed = encode_rle(set_frame(drawn(64, 64)))
    with pytest.raises(DataError, match=r"1 of 4 masks .*id 3"):
        load_pie_bench(bench(tmp_path / "framed", [*own, framed]))


def test_a_mask_behind_the_end_is_empty(tmp_path):
    folder = bench(tmp_path / "bench", [[128 * 128, 700], [128 * 128 + 5, 9], [5, 0]])
    assert summarise(load_pie_bench(folder))[0].empty_masks == 3


def test_masks_are_scaled_by_the_nearest_pixels(tmp_path):
    small, large = save_photo_bench(tmp_path / "small"), save_photo_bench(tmp_path / "large", 2)
    (large / "mapping_file.json").write_text((small / "mapping_file.json").read_text())
    enlarged = load_pie_bench(large, (128, 128))
    for before, after in zip(load_pie_bench(small), enlarged, strict=True):
        expected = decode_rle(before.mask_rle, 128, 128).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(load_mask(after), expected)
    assert scale_rle([1, 2], (128, 128), (128, 128)) == (1, 2)
    back = load_pie_bench(large, (256, 256))
    assert dataset_fingerprint(back) != dataset_fingerprint(enlarged)


def test_a_size_that_masks_do_not_fit_is_refused(tmp_path):
    folder = bench(tmp_path / "bench", [encode_rle(drawn(128, 128))])
    with pytest.raises(DataError, match="another --mask-size"):
        load_pie_bench(folder, (32, 32))
    for text in ("0", "512 x 512", "big", "1x", "-3"):
        with pytest.raises(PiebenchError, match="--mask-size"):
            parse_mask_size(text)


def test_a_run_reads_its_masks_again_as_it_did(tmp_path):
    """The size is kept with the session, so that scoring finds the data that was edited."""
    folder = bench(tmp_path / "bench", [encode_rle(drawn(64, 64))])
    samples = load_pie_bench(folder, (64, 64))
    session = describe_session(folder, samples, "local", Shard(), (64, 64))
    about = {"fingerprint": dataset_fingerprint(samples)}
    manifest = {"sessions": [session], "samples": ["0"], "data": about}
    store = SimpleNamespace(folder=tmp_path, manifest=lambda: manifest)
    assert dataset_of_run(store) == (folder, samples)


def test_scores_of_anybodys_pictures_keep_the_size(tmp_path):
    folder = bench(tmp_path / "bench", [encode_rle(drawn(64, 64))])
    evaluation_set = evaluation_set_of(None, folder, folder, "copy", mask_size="64")
    assert evaluation_set.about["mask_size"] == "64"
    assert evaluation_set.edited_images[0].sample == load_pie_bench(folder, (64, 64))[0]
    with pytest.raises(PiebenchError, match="--mask-size: is for --images"):
        evaluation_set_of(tmp_path / "run", None, None, None, mask_size="64")
