"""Benchmarks of other formats become official folders, or are refused by file, place and field."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from piebench_eval.cli.data import SourceFormat
from piebench_eval.data.convert.benchmark import FORMATS, convert_benchmark
from piebench_eval.data.convert.coco_masks import coco_to_rle
from piebench_eval.data.masks import decode_rle, encode_rle, load_mask
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import DataError, PiebenchError
from tests.support.commands import in_a_new_process, piebench

BOX = np.zeros((40, 60), dtype=bool)
BOX[10:20, 30:50] = True


def draw(*files, size=(60, 40)):
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 50 + number).convert("RGB").save(file)


def counts_of(mask):
    """COCO's counts of a mask, column by column."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=1 - flat[0])).tolist()
    return [*([0] if flat[0] else []), *np.diff([*edges, flat.size]).tolist()]


@pytest.fixture
def place(tmp_path):
    draw(tmp_path / "in/0/a.png", tmp_path / "in/0/b.jpg")
    return tmp_path / "in"


def made(name, source, images=None):
    out = source.parent.parent / "out" if source.is_file() else source.parent / "out"
    converted = convert_benchmark(name, source, out, images, lambda *_: None)
    samples = {sample.id: sample for sample in load_pie_bench(out)}
    assert sum(summary.images for summary in converted.summaries) == len(samples)
    return samples, converted.notes


def refused(name, source, images=None):
    out = source.parent.parent / "out"
    with pytest.raises(PiebenchError) as caught:
        convert_benchmark(name, source, out, images, lambda *_: None)
    assert not out.exists()
    text = str(caught.value)
    assert str(source) in text and not any(
        word in text for word in ("NoneType", "JsonObject", "None", "dict")
    )
    return text


def test_formats_are_those_of_the_command_line():
    assert [each.value for each in SourceFormat] == list(FORMATS)


# --- csv -------------------------------------------------------------------------------------------------


def table(place, *rows, separator=",", encoding="utf-8", name="edits.csv"):
    with (place / name).open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream, delimiter=separator).writerows(rows)
    return place / name


SHORT = ("image", "source_prompt", "target_prompt")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_needs_three_columns(place, separator, encoding):
    rows = [
        ("0/a.png", "a cat, white", 'a "dog"'),
        ("0\\a.png", "a cat; white", "a föx"),
        ("0/B.JPG", "", "a"),
    ]
    samples, notes = made("csv", table(place, SHORT, *rows, separator=separator, encoding=encoding))
    assert [(key, each.source_prompt, each.target_prompt) for key, each in samples.items()] == [
        ("a", "a cat, white", 'a "dog"'),
        ("a-2", "a cat; white", "a föx"),
        ("B", "", "a"),
    ]
    assert samples["a"].file.read_bytes() == (place / "0/a.png").read_bytes()
    assert samples["a"].file == samples["a-2"].file
    assert samples["B"].file.read_bytes() == (place / "0/b.jpg").read_bytes()
    assert any(note.startswith("3 of 3 samples: no mask") for note in notes)
    assert any(note.startswith("3 of 3 samples: no editing type") for note in notes)


def test_a_table_may_say_more(place):
    Image.fromarray(BOX).save(place / "a_mask.png")
    columns = (*SHORT, "id", "type", "instruction", "blended_word", "mask")
    runs = " ".join(map(str, encode_rle(BOX)))
    samples, notes = made(
        "csv",
        table(
            place,
            columns,
            ("0/a.png", "a [cat]", "a [dog]", "one", "1", "Make it a dog", "cat dog", "a_mask.png"),
            ("0/a.png", "a [cat]", "a [dog]", "two", "Change object", "", "cat|polar bear", runs),
            ("0/b.jpg", "a [cat]", "a [dog]", "", "", "", "", ""),
        ),
    )
    one, two, third = (samples[key] for key in ("one", "two", "b"))
    assert (one.type_id, one.instruction, one.blended_word) == ("1", "Make it a dog", "cat dog")
    assert (two.type_id, two.blend_words) == ("1", ("cat", "polar bear"))
    for sample in (one, two):
        np.testing.assert_array_equal(load_mask(sample, loader="shorter_side"), BOX)
    assert third.mask_rle == () and notes[0].startswith("1 of 3 samples: ")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("image", "target_prompt"), ("0/a.png", "a")], ["line 1", "column source_prompt is missing"]),
        ([(*SHORT, "maks"), ("0/a.png", "a", "b", "")], ["line 1", "no column maks", "blended_word, mask"]),
        ([(*SHORT, "image"), ("0/a.png", "a", "b", "")], ["line 1", "image occurs twice"]),
        ([SHORT], ["has no line below"]),
        ([SHORT, ("0/a.png", "a", "b"), ("0/a.png", "a", "b", "c")], ["line 3", "more cells", "quotes"]),
        ([SHORT, ("0/a.png", "a")], ["line 2", "fewer cells"]),
        ([SHORT, ("", "a", "b")], ["line 2", 'field "image" is empty']),
        ([SHORT, ("0/a.png", "a", " ")], ["line 2", 'field "target_prompt" is empty']),
        ([(*SHORT, "mask"), ("0/a.png", "a", "b", "9" * 5000)], ["line 2", 'field "mask"']),
        (
            [SHORT, ("0/lost.png", "a", "b")],
            ["line 2", '"image"', "lost.png' is not there", "--images FOLDER"],
        ),
        ([(*SHORT, "type"), ("0/a.png", "a", "b", "stile")], ["line 2", 'field "type" must be digits']),
        ([(*SHORT, "id"), *[("0/a.png", "a", "b", "x")] * 2], ["line 3", 'field "id": x occurs twice']),
        ([(*SHORT, "id"), ("0/a.png", "a", "b", "a/b")], ["line 2", "field \"id\" holds '/'"]),
        ([(*SHORT, "mask"), ("0/a.png", "a", "b", "1 2 3")], ["line 2", 'field "mask" has an odd number']),
        (
            [(*SHORT, "mask"), ("0/a.png", "a", "b", "m.png")],
            ["line 2", "field \"mask\" 'm.png' is not there"],
        ),
        (
            [(*SHORT, "mask"), ("0/a.png", "a", "b", "0/big.png")],
            ["line 2", "80x80, but belongs to one of 60x40"],
        ),
    ],
)
def test_mistakes_in_a_table(place, rows, words):
    draw(place / "0/big.png", size=(80, 80))
    text = refused("csv", table(place, *rows))
    assert all(word in text for word in words), text


def test_all_mistakes_of_a_table_are_listed_together(place):
    with pytest.raises(DataError) as caught:
        convert_benchmark(
            "csv",
            table(place, SHORT, ("x.png", "a", "b"), ("0/a.png", "a"), ("y.png", "a", "b")),
            place / "out",
            None,
            lambda *_: None,
        )
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["line 3", "line 2", "line 4"]


def test_tables_that_are_none(place):
    file = place / "edits.csv"
    for content in (b"\xff\xfe", b"", b'image,source_prompt,target_prompt\n"a,b\n'):
        file.write_bytes(content)
        refused("csv", file)
    assert "cannot be read" in refused("csv", place / "nowhere.csv")


def test_pictures_are_refused_before_a_folder_is_made(place):
    (place / "0/a.png").write_bytes(b"no picture")
    text = refused("csv", table(place, SHORT, ("0/a.png", "a", "b")))
    assert "line 2" in text and "is no picture of a known kind" in text


def test_pictures_anywhere_and_of_one_name(place, tmp_path):
    draw(tmp_path / "far/a.png", place / "1/a.png")
    rows = [
        (str(tmp_path / "far/a.png"), "", "1"),
        ("../far/a.png", "", "2"),
        ("0/a.png", "", "3"),
        ("1/a.png", "", "4"),
    ]
    samples, _ = made("csv", table(place, SHORT, *rows))
    sources = [tmp_path / "far/a.png"] * 2 + [place / "0/a.png", place / "1/a.png"]
    assert [each.file.read_bytes() for each in samples.values()] == [each.read_bytes() for each in sources]
    assert all(each.file.resolve().is_relative_to(tmp_path / "out") for each in samples.values())


# --- FlowEdit --------------------------------------------------------------------------------------------

FLOWEDIT = """
-
    input_img: 0/a.png
    source_prompt: A bear walking
        through a stream.
    target_prompts:
     - A black bear
     - A panda bear
    target_codes:
     - 1_black bear
     - 2_panda
-
    init_img: 0/b.jpg
    source_prompt: A cat
    target_prompts: [A dog]
"""


BOMB = "- &x0 [a, a, a, a, a, a, a, a, a]\n" + "".join(
    f"- &x{number} [{', '.join([f'*x{number - 1}'] * 9)}]\n" for number in range(1, 12)
)


def test_flowedits_list(place):
    (place / "edits.yaml").write_text(FLOWEDIT)
    samples, notes = made("flowedit", place)
    assert {key: each.target_prompt for key, each in samples.items()} == {
        "a_1_black_bear": "A black bear",
        "a_2_panda": "A panda bear",
        "b_1": "A dog",
    }
    assert samples["a_2_panda"].source_prompt == "A bear walking through a stream."
    assert samples["a_2_panda"].file.read_bytes() == (place / "0/a.png").read_bytes()
    assert len({each.image_path for each in samples.values()}) == 3 and len(notes) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("0/a.png", "0/lost.png"), ["entry 1", 'field "input_img"', "lost.png' is not there"]),
        (("0/b.jpg", "0/lost.png"), ["entry 2", 'field "init_img"']),
        (("source_prompt: A cat", "prompt: A cat"), ["entry 2", 'field "source_prompt" is missing']),
        (("[A dog]", "[yes]"), ["entry 2", "must be a list of texts, but holds true or false", "quotes"]),
        (("[A dog]", "12"), ["entry 2", 'field "target_prompts" must be text, not a number']),
        (("     - 2_panda\n", ""), ["entry 1", '"target_codes" has 1 texts for 2']),
        (("-\n    init_img", "- 3\n-\n    init_img"), ["entry 2", "must have fields, but is a number"]),
        (("[A dog]", "[A dog"), ["is not valid YAML"]),
        (("[A dog]", '["\\ud800"]'), ["entry 2", 'field "target_prompts" holds half a surrogate pair']),
        ((FLOWEDIT, BOMB), ["entry 10", "must have fields, but is a list"]),
        ((FLOWEDIT, "a: 1"), ["must hold a list of entries", "not an object"]),
        ((FLOWEDIT, ""), ["not nothing"]),
        ((FLOWEDIT, "[]"), ["an empty list"]),
    ],
)
def test_mistakes_in_flowedits_list(place, change, words):
    (place / "edits.yaml").write_text(FLOWEDIT.replace(*change))
    text = refused("flowedit", place / "edits.yaml")
    assert all(word in text for word in words), text


# --- TI2I and COCO ---------------------------------------------------------------------------------------


def entry(**changes):
    path = {"image_path": "data/annotation_images/0/a.png", "original_prompt": "", "editing_prompt": "a star"}
    return {**path, **changes}


@pytest.fixture
def bench(place):
    (place / "annotation_images").mkdir()
    (place / "0").rename(place / "annotation_images/0")
    return place


def write(bench, content, name="mapping_file_ti2i_benchmark.json"):
    (bench / name).write_text(json.dumps(content))
    return bench / name


@pytest.mark.parametrize("as_list", [False, True])
def test_ti2is_list(bench, as_list):
    mapping = {"0": entry(), "7": entry(editing_prompt=["a sketch", "a photo"], editing_type_id=9)}
    content = [{"id": key, **value} for key, value in mapping.items()] if as_list else mapping
    write(bench, content)
    write(bench, {}, "mapping_file.json")
    samples, notes = made("ti2i", bench)
    assert {key: each.target_prompt for key, each in samples.items()} == {
        "0": "a star",
        "7_1": "a sketch",
        "7_2": "a photo",
    }
    assert (
        samples["0"].image_path == "0/0.png"
        and samples["7_1"].type_id == "9"
        and samples["0"].source_prompt == ""
    )
    assert {each.file.read_bytes() for each in samples.values()} == {
        (bench / "annotation_images/0/a.png").read_bytes()
    }
    assert notes[0].startswith("3 of 3") and notes[1].startswith("1 of 3")


def test_masks_as_coco_writes_them(bench):
    official = {"blended_word": "cat dog", "editing_type_id": "1", "editing_instruction": "x"}
    masks = {
        "list": {"size": [40, 60], "counts": counts_of(BOX)},
        "inverse": {"size": [40, 60], "counts": counts_of(~BOX)},
        "early": {"size": [40, 60], "counts": counts_of(BOX)[:-1]},
    }
    write(bench, {key: entry(mask=mask, **official) for key, mask in masks.items()}, "mapping_file.json")
    samples, notes = made("coco-mask", bench)
    for key, expected in {"list": BOX, "inverse": ~BOX, "early": BOX}.items():
        found = load_mask(samples[key], loader="shorter_side")
        np.testing.assert_array_equal(found, expected)
    assert samples["list"].blended_word == "cat dog"
    assert notes == [note for note in notes if note.startswith("1 of 3 samples: a mask whose counts end")]


def test_cocos_packed_counts():
    """As pycocotools packs them."""
    expected = np.zeros((7, 5), dtype=bool)
    expected[[0, 1, 1, 1, 2, 5], [4, 0, 1, 2, 1, 4]] = True
    runs, whole = coco_to_rle({"size": [7, 5], "counts": "1161OO70H0M"}, (5, 7))
    np.testing.assert_array_equal(decode_rle(runs, 7, 5), expected)
    assert whole


SIZE = {"size": [40, 60]}


@pytest.mark.parametrize(
    ("name", "mask", "words"),
    [
        ("ti2i", {**SIZE, "counts": [2400]}, ["must be a list of numbers", "--from coco-mask"]),
        ("ti2i", [1, 2, 3], ['field "mask" has an odd number']),
        ("ti2i", ["1", "2"], ['field "mask" must hold whole numbers']),
        ("ti2i", "lost.png", ["lost.png' is not there"]),
        ("coco-mask", [1, 2], ['an object with "size" and "counts", not a list', "--from ti2i"]),
        ("coco-mask", None, ["not nothing"]),
        ("coco-mask", SIZE, ['must have "size" and "counts"']),
        ("coco-mask", {"size": [60, 40], "counts": [2400]}, ["is 40x60, but its picture is 60x40"]),
        ("coco-mask", {"size": 40, "counts": [2400]}, ['"size" that is not two whole numbers']),
        ("coco-mask", {**SIZE, "counts": [2000, 500]}, ["more pixels together than the 2400"]),
        ("coco-mask", {**SIZE, "counts": [-5, 9]}, ["not whole numbers from 0 on"]),
        ("coco-mask", {**SIZE, "counts": 5}, ['"counts" that are a number']),
        ("coco-mask", {**SIZE, "counts": "1 6"}, ["with ' '"]),
        ("coco-mask", {**SIZE, "counts": "o" * 9000}, ["COCO does not write there"]),
        ("coco-mask", {**SIZE, "counts": "P"}, ["end within a number"]),
    ],
)
def test_mistakes_in_masks(bench, name, mask, words):
    text = refused(name, write(bench, {"0": entry(mask=mask)}))
    assert "id 0" in text and all(word in text for word in words), text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"0": entry(image_path="0/lost.png")}, ["id 0", 'field "image_path"', "--images FOLDER"]),
        ({"0": entry(image_path=3)}, ["id 0", 'field "image_path" must be text, not a number']),
        ({"0": entry(editing_prompt=None)}, ["id 0", 'field "editing_prompt" must be text, not nothing']),
        ({"0": entry(editing_prompt=[])}, ["id 0", "but holds nothing"]),
        ({"0": {"image_path": "0/a.png"}}, ['"original_prompt" is missing', '"editing_prompt" is missing']),
        ({"0": entry(editing_type_id="x")}, ["id 0", 'field "editing_type_id" must be digits']),
        ({"a/b": entry()}, ["id a/b", "holds '/'"]),
        ({"0": entry(editing_prompt="\ud800")}, ["id 0", '"editing_prompt" holds half a surrogate pair']),
        ({"0": entry(blended_word="\ud800")}, ["id 0", '"blended_word" holds half a surrogate pair']),
        ({"\ud800": entry()}, ["the id holds a character that cannot be printed"]),
        ({"0": entry(image_path="x" * 9000)}, ["id 0", 'field "image_path"', "cannot be followed"]),
        ({"0": entry(image_path="\0")}, ["id 0", "names no file"]),
        ({"0": 3}, ["id 0", "must have fields, but is a number"]),
        ([entry(id="x"), entry(id="x")], ["entry 2", "id x occurs twice"]),
        ([], ["an empty list"]),
        ("text", ["annotations by id, or a list", "not text"]),
    ],
)
def test_mistakes_in_records(bench, content, words):
    text = refused("ti2i", write(bench, content))
    assert all(word in text for word in words), text


def test_records_that_json_lets_pass(bench):
    file = bench / "mapping_file.json"
    for content, words in (
        ('{"0": {"a": NaN}}', "holds NaN"),
        ('{"0": {"a": 1, "a": 2}}', '"a" occurs twice'),
        ('{"0": {}, "0": {}}', "id 0: occurs twice"),
        ("{", "is not valid JSON"),
    ):
        file.write_text(content)
        assert words in refused("ti2i", file)


# --- the command -----------------------------------------------------------------------------------------


def test_where_pictures_are_may_be_said(place, tmp_path):
    (tmp_path / "lists").mkdir()
    file = table(tmp_path / "lists", SHORT, ("a.png", "", "x"))
    assert "--images FOLDER" in refused("csv", file)
    samples, _ = made("csv", file, place / "0")
    assert list(samples) == ["a"]


def test_the_command_makes_a_folder_that_validates(place, tmp_path):
    table(place, SHORT, ("0/a.png", "a [cat]", "a [dog]"), ("0/a.png", "a [cat]", "a [fox]"))
    done = piebench("data", "convert", "--from", "csv", "--in", place, "--out", tmp_path / "a[b]")
    assert done.returncode == 0, done.stderr
    assert f"2 samples in {tmp_path}/a[b], no problem found." in done.stdout and "no mask" in done.stdout
    assert piebench("data", "validate", tmp_path / "a[b]").returncode == 0
    done = piebench("data", "convert", "--from", "csv", "--in", place, "--out", tmp_path / "c", "--json")
    assert json.loads(done.stdout)["samples"] == 2
    done = piebench("data", "convert", "--from", "csv", "--in", place, "--out", place)
    assert done.returncode == 2 and "not an empty folder" in done.stderr


def test_help_and_mistakes_need_nothing_heavy(tmp_path):
    commands = [
        ["--help"],
        [],
        ["--from", "csv", "--in", tmp_path / "x", "--out", tmp_path / "o"],
        ["--from", "x"],
    ]
    heavy = ("torch", "diffusers", "transformers", "pandas")
    done = in_a_new_process(*(["data", "convert", *each] for each in commands), heavy=heavy)
    assert [each.returncode for each in done] == [0, 2, 2, 2] and all(each.heavy == () for each in done)
    assert all(
        word in done[0].stdout for word in ("source_prompt", "blended_word", "target_codes", "Examples")
    )
    assert "cannot be read" in done[2].stderr
