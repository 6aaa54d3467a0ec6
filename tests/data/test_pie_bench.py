import json
import os
import shutil

import pytest

from piebench_eval.data.pie_bench import dataset_fingerprint, load_pie_bench
from piebench_eval.errors import DataError
from tests.support.photos import ANNOTATIONS

ID = "111000000002"


@pytest.fixture
def folder(photo_bench, tmp_path):
    return shutil.copytree(photo_bench, tmp_path / "bench")


def rewrite(folder, change):
    annotations = json.loads(json.dumps(ANNOTATIONS))
    change(annotations)
    (folder / "mapping_file.json").write_text(json.dumps(annotations))


def problems_of(folder):
    with pytest.raises(DataError) as caught:
        load_pie_bench(folder)
    return caught.value.problems


def test_reads_the_official_layout(samples):
    assert [sample.id for sample in samples] == list(ANNOTATIONS)
    sample = samples[1]
    assert sample.source_prompt == "a cat sitting next to a mirror"
    assert sample.marked_source_prompt == "a [cat] sitting next to a mirror"
    assert sample.type_id == "1"
    assert sample.file.is_file()


@pytest.mark.parametrize("field", [field for field in ANNOTATIONS[ID] if field != "editing_instruction"])
def test_missing_key(folder, field):
    rewrite(folder, lambda annotations: annotations[ID].pop(field))
    (problem,) = problems_of(folder)
    assert ID in problem and field in problem and "mapping_file.json" in problem and "missing" in problem


NO_MISTAKES = [("editing_type_id", 3), ("editing_instruction", None), ("blended_word", ["a"])]
WRONG_TYPES = [
    (field, value)
    for field in ANNOTATIONS[ID]
    for value in (3, None, ["a"], {"a": 1}, True)
    if field != "mask" and (field, value) not in NO_MISTAKES
]


@pytest.mark.parametrize(("field", "value"), WRONG_TYPES)
def test_wrong_type(folder, field, value):
    rewrite(folder, lambda annotations: annotations[ID].update({field: value}))
    (problem,) = problems_of(folder)
    assert ID in problem and field in problem


@pytest.mark.parametrize("type_id", ["", "x", "1.0", "-1", "\u00b2", "\u0663", "1" * 5000])
def test_type_ids_are_plain_digits(folder, type_id):
    rewrite(folder, lambda annotations: annotations[ID].update(editing_type_id=type_id))
    assert "editing_type_id" in problems_of(folder)[0]


@pytest.mark.parametrize("field", ["original_prompt", "image_path"])
def test_half_a_surrogate_pair(folder, field):
    rewrite(folder, lambda annotations: annotations[ID].update({field: "a\ud800b"}))
    assert any("surrogate" in problem for problem in problems_of(folder))


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "9" * 5000])
@pytest.mark.parametrize("field", ["mask", "original_prompt", "comment"])
@pytest.mark.parametrize("form", ["{}", "[{}, 5]", '{{"deep": [{}]}}'])
def test_numbers_that_are_none(folder, field, form, number):
    rewrite(folder, lambda annotations: annotations[ID].update({field: "HERE"}))
    text = (folder / "mapping_file.json").read_text()
    (folder / "mapping_file.json").write_text(text.replace('"HERE"', form.format(number)))
    (problem,) = problems_of(folder)
    assert f"id {ID}" in problem and f'"{field}"' in problem and number[:20] in problem
    assert "write what is meant" in problem and len(problem) < 700


def test_a_field_that_occurs_twice(folder):
    text = (folder / "mapping_file.json").read_text()
    (folder / "mapping_file.json").write_text(
        text.replace('"mask": [0, 16384]', '"mask": [], "mask": [0, 9]')
    )
    (problem,) = problems_of(folder)
    assert "912000000004" in problem and '"mask" occurs twice' in problem


@pytest.mark.parametrize(
    "sample_id", ["", " ", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\ud800", "x" * 300, "\u00e9" * 150]
)
def test_ids_become_names_of_files(folder, sample_id):
    rewrite(folder, lambda annotations: annotations.update({sample_id: annotations.pop(ID)}))
    (problem,) = problems_of(folder)
    assert "mapping_file.json" in problem and "the id " in problem and "names of files" in problem
    problem.encode()


def test_a_byte_order_mark_is_no_harm(folder):
    text = (folder / "mapping_file.json").read_text()
    (folder / "mapping_file.json").write_text(text, encoding="utf-8-sig")
    assert len(load_pie_bench(folder)) == 4


def test_pictures_with_no_one_look(folder):
    from PIL import Image

    picture = folder / "annotation_images" / ANNOTATIONS[ID]["image_path"]
    Image.new("RGBA", (128, 128)).save(picture)
    (problem,) = problems_of(folder)
    assert ID in problem and str(picture) in problem and "flatten it" in problem


@pytest.mark.parametrize(
    "mask", ["0 5", [1], [1, 2, 3], [-1, 4], [4, -1], [1.5, 2], [True, 2], None, [[1, 2]]]
)
def test_bad_mask(folder, mask):
    rewrite(folder, lambda annotations: annotations[ID].update(mask=mask))
    (problem,) = problems_of(folder)
    assert ID in problem and '"mask"' in problem


@pytest.mark.parametrize(
    "path", ["../outside.png", "a/../../outside.png", "/etc/passwd", "", "nowhere.png", "\0"]
)
def test_bad_path(folder, path):
    rewrite(folder, lambda annotations: annotations[ID].update(image_path=path))
    (problem,) = problems_of(folder)
    assert ID in problem and '"image_path"' in problem


def test_link_that_leaves_the_folder(folder, tmp_path):
    picture = folder / "annotation_images" / ANNOTATIONS[ID]["image_path"]
    shutil.move(picture, tmp_path / "outside.png")
    picture.symlink_to(tmp_path / "outside.png")
    (problem,) = problems_of(folder)
    assert ID in problem and "link" in problem


def test_linked_picture_folder_is_fine(folder, tmp_path):
    shutil.move(folder / "annotation_images", tmp_path / "elsewhere")
    (folder / "annotation_images").symlink_to(tmp_path / "elsewhere")
    assert len(load_pie_bench(folder)) == 4


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_unreadable_picture(folder, content):
    picture = folder / "annotation_images" / ANNOTATIONS[ID]["image_path"]
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2] if content is None else content)
    (problem,) = problems_of(folder)
    assert ID in problem and picture.name in problem


def test_duplicate_id(folder):
    text = json.dumps(ANNOTATIONS)
    (folder / "mapping_file.json").write_text(text[:-1] + f', "{ID}": {json.dumps(ANNOTATIONS[ID])}}}')
    (problem,) = problems_of(folder)
    assert ID in problem and "twice" in problem


def test_edits_of_two_ids_that_would_be_one_file(folder):
    """As of a picture whose name is another sample's id, which shares its picture."""

    def change(annotations):
        shared, last = annotations[ID], list(annotations)[-1]
        annotations["912000000004b"] = shared
        annotations[last] = annotations[last] | {
            "image_path": "1_change_object_80/1_artificial/912000000004b.png"
        }

    place = folder / "annotation_images/1_change_object_80/1_artificial/912000000004b.png"
    shutil.copy(folder / "annotation_images" / ANNOTATIONS["912000000004"]["image_path"], place)
    rewrite(folder, change)
    (problem,) = problems_of(folder)
    assert "912000000004b" in problem and "912000000004 are; rename" in problem


@pytest.mark.parametrize("text", ["{", "[]", "{}", "3", '{"a": 1}', "\ufeff{", "[" * 100_000])
def test_broken_mapping_file(folder, text):
    (folder / "mapping_file.json").write_text(text)
    assert "mapping_file.json" in problems_of(folder)[0]


def test_mapping_file_that_is_not_utf8(folder):
    (folder / "mapping_file.json").write_bytes(b'{"a": "\xff"}')
    assert "mapping_file.json" in problems_of(folder)[0]


def test_missing_folder_and_file(tmp_path):
    assert "not a folder" in problems_of(tmp_path / "nowhere")[0]
    assert "missing" in problems_of(tmp_path)[0]


def test_all_problems_of_one_annotation_are_listed(folder):
    rewrite(folder, lambda annotations: annotations[ID].update(image_path="../x", mask=[1], blended_word=3))
    assert len(problems_of(folder)) == 3


def test_all_problems_are_listed_together(folder):
    def change(annotations):
        annotations[ID].pop("mask")
        annotations["812000000003"]["mask"] = [1]
        annotations["912000000004"]["image_path"] = "../x.png"

    rewrite(folder, change)
    os.truncate(folder / "annotation_images" / ANNOTATIONS["000000000001"]["image_path"], 200)
    assert len(problems_of(folder)) == 4


def test_fingerprint_follows_annotations_and_pixels(folder):
    before = dataset_fingerprint(load_pie_bench(folder))
    assert dataset_fingerprint(load_pie_bench(folder)) == before
    rewrite(folder, lambda annotations: annotations[ID].update(mask=[0, 1]))
    changed_mask = dataset_fingerprint(load_pie_bench(folder))
    picture = folder / "annotation_images" / ANNOTATIONS[ID]["image_path"]
    shutil.copy(folder / "annotation_images" / ANNOTATIONS["812000000003"]["image_path"], picture)
    assert len({before, changed_mask, dataset_fingerprint(load_pie_bench(folder))}) == 3


@pytest.mark.golden
def test_reads_the_reference_folder(golden_metrics):
    samples = load_pie_bench(golden_metrics / "data")
    assert len(samples) == 5
