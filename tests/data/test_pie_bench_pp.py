import json

import pyarrow as pa
import pytest

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.pie_bench_pp import CONFIGS, blended_word, write_official_folder
from piebench_eval.errors import DataError
from tests.data.fake_hub import SCHEMA, picture, row, write_parquet


def convert(folder, rows, config=CONFIGS[3], schema=SCHEMA):
    """Convert rows of one part, and a sound row in every other."""
    parquet = {
        name: [write_parquet(folder / name / "V1-0.parquet", [row(f"other{number}")])]
        for number, name in enumerate(CONFIGS)
    }
    parquet[config] = [write_parquet(folder / config / "V1-0.parquet", rows, schema)]
    told = []
    write_official_folder(parquet, folder / "out", lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    return folder / "out"


def problem_of(folder, rows, **options):
    with pytest.raises(DataError) as caught:
        convert(folder, rows, **options)
    (problem,) = caught.value.problems
    assert str(folder / CONFIGS[3] / "V1-0.parquet") in problem and "revision" in problem
    return problem


def test_a_row_becomes_a_sample(tmp_path):
    image = {"bytes": picture(kind="PNG"), "path": None}
    words = '["round cake,square cake", "table,desk"]'
    changes = {"image": image, "mask": " 17 3  40 2\n", "blended_words": words, "source_prompt": "a [ü] cake"}
    folder = convert(tmp_path, [row("300000000001", **changes), row("300000000002")])
    samples = {sample.id: sample for sample in load_pie_bench(folder)}
    assert len(samples) == 11
    sample = samples["300000000001"]
    assert sample.image_path == "3_delete_object_80/300000000001.png"
    assert sample.file.read_bytes() == image["bytes"]
    assert (sample.type_id, sample.instruction, sample.blended_word) == ("3", "", "table desk")
    assert (sample.marked_source_prompt, sample.mask_rle) == ("a [ü] cake", (17, 3, 40, 2))
    assert samples["300000000002"].image_path.endswith(".jpg")
    kept = json.loads((folder / "mapping_file.json").read_text())["300000000001"]
    expected = row(**changes)
    for field in ("edit_action", "aspect_mapping", "blended_words"):
        assert kept[field] == expected[field]


def test_columns_that_nothing_reads_may_be_empty(tmp_path):
    folder = convert(tmp_path, [row("300000000001", edit_action=None, aspect_mapping=None)])
    assert len(load_pie_bench(folder)) == 10


@pytest.mark.parametrize(
    ("pairs", "word"),
    [
        (["cat,dog"], "cat dog"),
        ([" cat , dog "], "cat dog"),
        (["big cat,dog", "hat,cap"], "hat cap"),
        (["big cat,small dog", "red hat,blue cap"], "cat dog"),
        (["big cat,"], "cat"),
        (["cat,"], "cat"),
        ([",dog"], "dog"),
        (["cat"], "cat"),
        ([",", "cat,dog"], "cat dog"),
        ([","], ""),
        ([], ""),
    ],
)
def test_blended_word_is_one_word_of_each_side(pairs, word):
    assert blended_word(pairs) == word


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mask", "0 12 x", "whole numbers"),
        ("mask", "-1 5", "whole numbers"),
        ("mask", "1.5 2", "whole numbers"),
        ("mask", "9" * 5000 + " 1", "whole numbers"),
        ("mask", "1 2 3", "odd number"),
        ("blended_words", "cat,dog", "JSON list"),
        ("blended_words", "{}", "JSON list"),
        ("blended_words", "[1]", "JSON list"),
        ("blended_words", "[" * 100_000, "JSON list"),
        ("blended_words", "[" + "9" * 5000 + "]", "JSON list"),
        ("id", "", "is no name"),
        ("id", "../../etc/x", "holds '/'"),
        ("id", "a\0b", "cannot be printed"),
        ("id", "x" * 300, "longer than"),
        ("source_prompt", None, "must be text, not None"),
        ("image", None, "holds no bytes"),
        ("image", {"bytes": None, "path": "x.jpg"}, "holds no bytes"),
        ("image", {"bytes": b"GIF89a", "path": "x.jpg"}, "neither a JPEG nor a PNG"),
        ("image", {"bytes": picture()[:300], "path": "x.jpg"}, "cannot be read"),
    ],
)
def test_problems_name_file_row_id_and_field(tmp_path, field, value, words):
    sample_id = value if field == "id" else "300000000002"
    problem = problem_of(tmp_path, [row(), row(sample_id, **{field: value})])
    assert "row 1" in problem and f'"{field}"' in problem and words in problem
    assert field == "id" or "300000000002" in problem
    assert len(problem) < 1000


def test_an_id_occurs_once_in_all_parts(tmp_path):
    assert "before" in problem_of(tmp_path, [row(), row("other0")])


def test_missing_columns_and_files_that_are_not_parquet(tmp_path):
    schema = pa.schema([field for field in SCHEMA if field.name not in ("mask", "id")])
    assert "column id, mask is missing" in problem_of(tmp_path, [row()], schema=schema)
    numbers = SCHEMA.set(SCHEMA.get_field_index("mask"), pa.field("mask", pa.list_(pa.int64())))
    assert '"mask" must be text' in problem_of(tmp_path, [row(mask=[0, 4])], schema=numbers)
    file = tmp_path / "torn.parquet"
    file.write_bytes((tmp_path / CONFIGS[0] / "V1-0.parquet").read_bytes()[:-50])
    with pytest.raises(DataError, match=r"torn\.parquet: cannot be read as parquet"):
        write_official_folder({name: [file] for name in CONFIGS}, tmp_path / "out", lambda *_: None)


def test_all_problems_are_listed_together(tmp_path):
    rows = [row("a", mask="x", blended_words="x"), row("b"), row("b"), row("c", image=None)]
    with pytest.raises(DataError) as caught:
        convert(tmp_path, rows)
    assert len(caught.value.problems) == 4
    assert not (tmp_path / "out" / "mapping_file.json").exists()
