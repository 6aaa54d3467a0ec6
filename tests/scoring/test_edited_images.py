import json

import pytest
from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.scoring.edited_images import edited_images_at


def save(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (128, 128)).save(file)
    return file


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize("layout", ["official", "whole official", "flat"])
def test_pictures_are_found_in_any_layout_and_with_any_suffix(samples, tmp_path, layout, suffix):
    def place(sample):
        path = {"official": sample.image_path, "whole official": f"annotation_images/{sample.image_path}"}
        return (tmp_path / path.get(layout, f"{sample.id}.x")).with_suffix(suffix)

    files = [save(place(sample)) for sample in samples[1:]]
    found, missing = edited_images_at(tmp_path, samples, "mine")
    assert [edited_image.sample for edited_image in found] == samples[1:]
    assert [edited_image.file for edited_image in found] == files
    assert len(missing) == 1 and samples[0].id in missing[0]


def write_list(file, entries):
    if file.suffix == ".json":
        file.write_text(json.dumps(dict(entries)))
    else:
        file.write_text("file,id\n" + "".join(f"{path},{sample_id}\n" for sample_id, path in entries))
    return file


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_list_names_pictures_anywhere(samples, tmp_path, kind):
    near, far = save(tmp_path / "lists" / "a b.png"), save(tmp_path / "elsewhere.jpg")
    entries = [(samples[2].id, "a b.png"), (samples[0].id, str(far)), (samples[1].id, "lost.png")]
    listed = write_list(tmp_path / "lists" / f"edits.{kind}", entries)
    found, missing = edited_images_at(listed, samples, "mine")
    assert [(edited_image.sample.id, edited_image.file) for edited_image in found] == [
        (samples[0].id, far),
        (samples[2].id, near),
    ]
    assert "lost.png" in missing[0] and "does not name it" in missing[1] and len(missing) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "id,path\n1,2\n", "columns id and file"),
        ("a.csv", "", "columns id and file"),
        ("a.csv", "id,file\n000000000001\n", "entry 1: must name an id and a file"),
        ("a.csv", "id,file\n000000000001,\n", "entry 1: must name an id and a file"),
        ("a.csv", "id,file\n99,a.png\n", "no id '99'"),
        ("a.csv", "id,file\n000000000001,a\n000000000001,b\n", "entry 2: id 000000000001 is listed twice"),
        ("a.csv", 'id,file\n"000000000001,a.png\n', "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "[1]", "is no object"),
        ("a.json", '{"000000000001": NaN}', "entry 1: must name"),
        ("a.json", '{"000000000001": {"file": "a.png"}}', "entry 1: must name"),
        ("a.json", '{"000000000001": "a.png", "000000000001": "b.png"}', "is listed twice"),
        ("a.json", '{"000000000001": ' + "9" * 5000 + "}", "cannot be read"),
        ("a.json", "[" * 100_000, "cannot be read"),
    ],
)
def test_wrong_lists_are_told_what_is_wrong(samples, tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(PiebenchError, match=words) as told:
        edited_images_at(tmp_path / name, samples, "mine")
    assert str(tmp_path / name) in str(told.value)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.csv", "nowhere.json"])
def test_what_is_not_there_is_named(samples, tmp_path, name):
    with pytest.raises(PiebenchError, match="nowhere"):
        edited_images_at(tmp_path / name, samples, "mine")
