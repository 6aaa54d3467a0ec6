"""Getting benchmark folders by the command line."""

import json
import signal
import time

from tests.data.fake_hub import serve, write_dataset
from tests.data.test_archive import pack
from tests.support.commands import Done, in_a_new_process, piebench
from tests.support.runs import start_piebench

HEAVY = ("torch", "diffusers", "transformers", "pyarrow", "huggingface_hub", "pandas")


def test_help_teaches_by_examples():
    commands = [["data", command, "--help"] for command in ("import", "fetch")]
    for command, done in zip(commands, in_a_new_process(*commands, heavy=HEAVY), strict=True):
        assert done.returncode == 0 and "Examples" in done.stdout and done.heavy == ()
        assert f"piebench data {command[1]}" in done.stdout


def test_wrong_usage_is_quick_plain_and_fails(tmp_path):
    (tmp_path / "file").touch()
    zip_file = ["--zip", tmp_path / "nowhere.zip"]
    out = ["--out", tmp_path / "out"]
    wrong = (
        (["import"], "Missing option"),
        (["import", *out], "--zip"),
        (["import", *zip_file], "--out"),
        (["import", *zip_file, *out], "nowhere.zip: there is no such file"),
        (["import", "--zip", tmp_path / "file", *out], "no zip file"),
        (["import", "--zip", tmp_path, *out], "no zip file"),
        (["import", "--zip", tmp_path / "file", "--out", tmp_path], "not an empty folder"),
        (["fetch", *out], "Missing argument"),
        (["fetch", "pie-bench", *out], "pie-bench-pp"),
        (["fetch", "pie-bench-pp"], "--out"),
        (["fetch", "pie-bench-pp", "--out", tmp_path], "not an empty folder"),
    )
    finished = in_a_new_process(*(["data", *arguments] for arguments, _ in wrong), heavy=HEAVY)
    for (arguments, words), done in zip(wrong, finished, strict=True):
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr and done.heavy == (), (arguments, done.heavy)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_import(photo_bench, tmp_path):
    file = pack(tmp_path / "PIE.zip", photo_bench)
    done = piebench("data", "import", "--zip", file, "--out", tmp_path / "a[b]")
    assert done.returncode == 0, done.stderr
    assert f"4 samples in {tmp_path}/a[b], no problem found." in done.stdout
    assert "1 of 4 masks covers the whole picture" in done.stdout
    done = piebench("data", "import", "--zip", file, "--out", tmp_path / "b", "--json")
    summary = json.loads(done.stdout)
    assert (summary["folder"], summary["samples"]) == (str(tmp_path / "b"), 4)
    assert summary["types"][0]["type_id"] == "0"


def test_import_of_parts(photo_bench, tmp_path):
    pictures = [path.relative_to(photo_bench).as_posix() for path in photo_bench.rglob("*.png")]
    first = pack(tmp_path / "PIE-001.zip", photo_bench, leave_out=pictures)
    second = pack(tmp_path / "PIE-002.zip", photo_bench, leave_out=["mapping_file.json"])
    done = piebench("data", "import", "--zip", first, "--zip", second, "--out", tmp_path / "whole")
    assert done.returncode == 0 and "4 samples in" in done.stdout, done.stderr


def test_validate_says_what_full_masks_mean(photo_bench):
    printed = piebench("data", "validate", photo_bench).stdout
    assert "1 of 4 masks covers the whole picture" in printed and "the other 3 samples only" in printed


def test_ctrl_c_leaves_no_folder(photo_bench, tmp_path):
    many = [(f"PIE-Bench_v1/annotation_images/{number}", b"") for number in range(10_000)]
    file = pack(tmp_path / "PIE.zip", photo_bench, extra=many)
    with start_piebench("data", "import", "--zip", file, "--out", tmp_path / "out") as process:
        limit = time.monotonic() + 30
        while not list(tmp_path.glob(".out.*.partial/annotation_images/1?")) and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["PIE.zip"]


def fetch(*options):
    """Fetch in a process of its own: huggingface_hub reads its environment when it is imported."""
    with start_piebench("data", "fetch", "pie-bench-pp", *options) as process:
        stdout, stderr = process.communicate(timeout=120)
    return Done(process.returncode, stdout, stderr)


def test_fetch(tmp_path, monkeypatch):
    with serve(write_dataset(tmp_path / "dataset")) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        done = fetch("--revision", "v1", "--out", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert f"20 samples in {tmp_path}/out" in done.stdout
        assert "cc-by-sa-4.0" in done.stdout and "20 of 20 masks cover the whole picture" in done.stdout
        assert "are over no sample at all" in done.stdout
        assert "WARN" not in done.stderr.upper()
        hub.status = 500
        done = fetch("--out", tmp_path / "again")
        assert done.returncode == 2 and "error 500" in done.stderr and "Traceback" not in done.stderr
