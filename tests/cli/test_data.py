"""Getting benchmark folders by the command line."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.bench.fake_hub import serve, write_dataset
from tests.bench.test_archive import pack
from tests.cli.test_cli import piebench

HEAVY = ("torch", "diffusers", "transformers", "pyarrow", "huggingface_hub", "pandas")
IMPORTS = (
    "import sys, piebench_eval.cli.app as app\n"
    "sys.argv = ['piebench', *{arguments!r}]\n"
    "try:\n    app.main()\nexcept SystemExit as end:\n    code = end.code\n"
    f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)\n"
    "sys.exit(code)"
)


def light(*arguments):
    """Run a command that must not import anything heavy; its standard error without that remark."""
    command = [sys.executable, "-c", IMPORTS.format(arguments=[str(a) for a in arguments])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    *message, heavy = done.stderr.strip().splitlines()
    assert heavy == "[]"
    return done.returncode, done.stdout, "\n".join(message)


@pytest.mark.parametrize("command", ["import", "fetch"])
def test_help_teaches_by_examples(command):
    code, printed, _ = light("data", command, "--help")
    assert code == 0 and "Examples" in printed and f"piebench data {command}" in printed


def test_wrong_usage_is_quick_plain_and_fails(tmp_path):
    (tmp_path / "file").touch()
    zip_file = ["--zip", tmp_path / "nowhere.zip"]
    out = ["--out", tmp_path / "out"]
    for arguments, words in (
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
    ):
        code, _, message = light("data", *arguments)
        assert code == 2 and words in message and "Traceback" not in message, (arguments, message)
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


def test_validate_says_what_full_masks_mean(photo_bench):
    printed = piebench("data", "validate", photo_bench).stdout
    assert "1 of 4 masks covers the whole picture" in printed and "the other 3 samples only" in printed


def test_ctrl_c_leaves_no_folder(photo_bench, tmp_path):
    many = [(f"PIE-Bench_v1/annotation_images/{number}", b"") for number in range(10_000)]
    file = pack(tmp_path / "PIE.zip", photo_bench, extra=many)
    arguments = ["data", "import", "--zip", str(file), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "piebench_eval.cli.app", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        limit = time.monotonic() + 30
        while not list(tmp_path.glob(".out.*.partial/annotation_images/1?")) and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["PIE.zip"]


def test_fetch(tmp_path, monkeypatch):
    with serve(write_dataset(tmp_path / "dataset")) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        done = piebench("data", "fetch", "pie-bench-pp", "--revision", "v1", "--out", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert f"20 samples in {tmp_path}/out" in done.stdout
        assert "cc-by-sa-4.0" in done.stdout and "20 of 20 masks cover the whole picture" in done.stdout
        assert "rest on no sample at all" in done.stdout
        assert "WARN" not in done.stderr.upper()
        hub.status = 500
        done = piebench("data", "fetch", "pie-bench-pp", "--out", tmp_path / "again")
        assert done.returncode == 2 and "error 500" in done.stderr and "Traceback" not in done.stderr
