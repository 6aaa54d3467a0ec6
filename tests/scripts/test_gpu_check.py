"""The GPU check with sections that fail, hang and pass: none stops the others, and all is written down."""

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import torch

from piebench_eval.metrics.columns import COLUMNS
from scripts import gpu_check
from scripts.gpu import machine, precisions, requirements
from scripts.gpu.cuda_tests import LOG, cuda_tests, tell_tests
from scripts.gpu.plan import plan, tell_machine, tell_speed
from scripts.gpu.report import Report, table
from scripts.gpu.section import Section, Told, python, run_section

REPOSITORY = Path(__file__).parents[2]
HANGS = "import subprocess, sys, time\nsubprocess.Popen(['sleep', '60'])\nprint('begun')\ntime.sleep(60)"


def section(name, code, seconds=20.0, **more):
    return Section(name, f"whether {name} works", python("-c", code), seconds, **more)


def check(folder, *sections, seconds=60.0):
    return gpu_check.check(sections, Report("nothing", {"command": "a test"}), folder, seconds)


def read(folder):
    data = json.loads((folder / "gpu-check.json").read_text())
    return {one["name"]: one for one in data["sections"]}, data, (folder / "gpu-check.md").read_text()


def test_neither_failure_nor_hanging_stops_the_others(tmp_path, capsys):
    code = check(
        tmp_path,
        section("failing", "print('so far'); raise ValueError('what is wrong')"),
        section("hanging", HANGS, seconds=2),
        section("killed", "import os; os.kill(os.getpid(), 9)"),
        section("passing", "print('fine')"),
    )
    assert code == 1
    found, data, markdown = read(tmp_path)
    assert not data["good"] and data["command"] == "a test"
    statuses = {name: one["status"] for name, one in found.items()}
    assert statuses == {
        "failing": "failed",
        "hanging": "timed out",
        "killed": "failed",
        "passing": "passed",
    }
    assert "what is wrong" in found["failing"]["output"] and "what is wrong" in markdown
    assert found["killed"]["reason"] == "killed by SIGKILL"
    assert found["hanging"]["seconds"] < 15
    assert "begun" in found["hanging"]["output"]
    assert 'File "<string>", line 4' in markdown, "where it hung is not told"
    assert found["passing"]["output"] == ""
    assert "| passing | whether passing works | passed |" in markdown
    assert data["verdict"] == "failed: failing, killed; timed out: hanging; passed: passing"
    assert data["verdict"] in markdown
    printed = capsys.readouterr().out
    assert "what is wrong" in printed and data["verdict"] in printed


def test_what_a_hanging_section_has_started_ends_with_it(tmp_path):
    note = tmp_path / "pid"
    code = f"import subprocess, pathlib, time\npathlib.Path({str(note)!r}).write_text(" + (
        "str(subprocess.Popen(['sleep', '60']).pid))\ntime.sleep(60)"
    )
    run_section(section("hanging", code), tmp_path / "files", limit=1.5)
    deadline = time.monotonic() + 10
    while is_running(int(note.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_each_result_is_on_the_disk_as_soon_as_it_is_known(tmp_path):
    report = tmp_path / "out" / "gpu-check.json"
    second = f"import json; print([one['status'] for one in json.load(open({str(report)!r}))['sections']])"
    code = check(
        tmp_path / "out",
        section("first", "pass"),
        section("second", f"{second}; raise SystemExit(1)"),
    )
    assert code == 1
    assert read(tmp_path / "out")[0]["second"]["output"] == "['passed', 'to come']"


def test_what_was_not_come_to_is_not_good(tmp_path):
    slow = section("first", "import time; time.sleep(1)")
    assert check(tmp_path, slow, section("last", "pass"), seconds=5.9) == 1
    found, _, _ = read(tmp_path)
    assert found["first"]["status"] == "passed"
    assert found["last"]["status"] == "not run" and "--seconds" in found["last"]["reason"]


def test_without_what_is_essential_nothing_else_is_tried(tmp_path):
    no_device = section("machine", "raise SystemExit('no such device')", essential=True)
    assert check(tmp_path, no_device, section("other", "pass")) == 1
    found, _, _ = read(tmp_path)
    assert "no such device" in found["machine"]["output"]
    assert (found["other"]["status"], found["other"]["reason"]) == ("not run", "machine has failed")


def test_good_and_skipped_end_in_nought(tmp_path):
    def tell(folder):
        text = (folder / "numbers.json").read_text()
        return Told("so many images", json.loads(text), skipped="no device")

    writing = Section(
        "writing",
        "whether files are read",
        python("-c", "import os; open(os.environ['WHERE'] + '/numbers.json', 'w').write('[1, 2]')"),
        20,
        tell,
        {"WHERE": "{folder}"},
    )
    assert check(tmp_path, section("passing", "pass"), writing) == 0
    found, data, markdown = read(tmp_path)
    assert data["good"]
    assert (found["writing"]["status"], found["writing"]["reason"]) == ("skipped", "no device")
    assert found["writing"]["data"] == [1, 2] and "so many images" in markdown


def test_files_that_were_not_finished_are_said_to_be(tmp_path):
    def tell(folder):
        return Told(data=json.loads("{"))

    result = run_section(section("writing", "pass", tell=tell), tmp_path / "files", 20)
    assert "cannot be read" in result.told.markdown


def test_tests_tell_of_themselves(tmp_path):
    entries = [
        {"test": "tests/cuda/test_a.py::test_one"},
        {
            "test": "tests/cuda/test_a.py::test_one",
            "outcome": "passed",
            "seconds": 1.25,
            "measured": [["rms", "1e-5"]],
        },
        {"test": "tests/cuda/test_a.py::test_two"},
        {
            "test": "tests/cuda/test_a.py::test_three",
            "outcome": "skipped",
            "seconds": 0,
            "why": "no recordings",
        },
    ]
    (tmp_path / "tests.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    told = tell_tests(tmp_path)
    assert told.markdown.splitlines()[2:] == [
        "| test_a.py::test_one | passed | 1.2 | rms 1e-5 |",
        "| test_a.py::test_two | not ended | 0.0 |  |",
        "| test_a.py::test_three | skipped | 0.0 | no recordings |",
    ]
    assert not told.skipped and len(told.data) == 3
    assert told.remark == "1 of 3 skipped: no recordings"


def test_cuda_tests_are_skipped_where_there_is_no_device(tmp_path, monkeypatch):
    """The real tests as the section runs them, though in this process, which has imported everything."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    section = cuda_tests("runs", "whether runs work", ("test_runs.py",), 60, "cpu")
    for name, value in section.environment.items():
        monkeypatch.setenv(name, value.replace("{folder}", str(tmp_path)))
    monkeypatch.delenv("PIEBENCH_GPU", raising=False)
    monkeypatch.chdir(REPOSITORY)
    assert section.command[1:3] == ("-m", "pytest")
    assert pytest.main(list(section.command[3:])) == 0
    told = section.tell(tmp_path)
    assert told.skipped == "no CUDA device"
    assert {entry["outcome"] for entry in told.data} == {"skipped"} and len(told.data) >= 3


def test_the_plan_has_every_cuda_test():
    folder = REPOSITORY / "tests" / "cuda"
    files = {file.name for file in folder.glob("test_*.py")}
    planned = [
        Path(part).name
        for one in plan("cuda:0", quick=False)
        for part in one.command
        if part.startswith("tests/cuda/")
    ]
    assert sorted(planned) == sorted(files)
    for file in files:
        assert "\npytestmark = pytest.mark.cuda\n" in (folder / file).read_text(), (
            f"{file} would run everywhere"
        )
    options = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "not cuda" in options["addopts"]
    assert all(LOG in one.environment for one in plan("cpu", quick=True) if "pytest" in one.command)


def test_the_plan_measures_every_published_size_of_its_tables():
    commands = {one.name: " ".join(one.command) for one in plan("cuda:0", quick=False)}
    for name, size in (("speed", "sd1"), ("sd3.5-medium", "sd3.5-medium"), ("flux", "flux")):
        assert f"--size {size} " in commands[name] and "--precision bf16" in commands[name]
        assert "--blocks" not in commands[name] and "--resolution" not in commands[name]
    assert all("--blocks 1" in " ".join(one.command) for one in plan("cpu", True) if one.name == "flux")


def test_what_the_half_precisions_change_is_written_as_it_is_found(tmp_path, monkeypatch):
    index = pd.Index(["direct+p2p"])
    columns = pd.MultiIndex.from_product([COLUMNS, ["float32", "change"]])
    changes = pd.DataFrame(0.5, index, columns)
    asked = []

    def found(precision, pairs, device, limit, settings):
        if asked:
            assert (tmp_path / "bench.json").exists(), "written only at the end"
        asked.append((precision, device, limit, settings))
        return changes

    monkeypatch.setattr(precisions, "metric_changes", found)
    file = tmp_path / "bench.json"
    assert precisions.main(["--device", "cpu", "--pictures", "1", "--steps", "2", "--out", str(file)]) == 0
    assert asked == [("bf16", "cpu", 1, {"steps": 2}), ("fp16", "cpu", 1, {"steps": 2})]
    told = tell_speed(tmp_path)
    assert told.data["fp16"]["direct+p2p"][COLUMNS[0]] == {"change": 0.5, "float32": 0.5}
    assert "what bf16 changes" in told.markdown and "what fp16 changes" in told.markdown


def test_what_is_missing_is_named_before_anything_is_run(monkeypatch, tmp_path, capsys):
    wanted = requirements.requirements()
    assert {"torch", "diffusers", "pytest", "pydantic"} <= wanted.keys()
    missing, older = requirements.look_for({"torch": "999", "no-such-library": "2.5", "pytest": "8"})
    assert missing == ["no-such-library>=2.5"]
    assert len(older) == 1 and older[0].endswith("older than 999")
    monkeypatch.setattr(gpu_check, "requirements", lambda: {"no-such-library": "2.5"})
    assert gpu_check.main(["--out", str(tmp_path / "out")]) == 2
    assert "missing: no-such-library>=2.5" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_sections_are_chosen_by_name(capsys):
    with pytest.raises(SystemExit) as ended:
        gpu_check.main(["--only", "speed,nothing"])
    assert ended.value.code == 2
    assert "--only nothing: choose from machine, golden" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(tmp_path, capsys):
    assert machine.main(["--device", "cuda:99", "--out", str(tmp_path / "machine.json")]) == 1
    told = capsys.readouterr().err
    assert "cuda:99: this machine has" in told and "--device cpu" in told
    assert not (tmp_path / "machine.json").exists()


def test_a_device_that_is_there_is_described(tmp_path):
    assert machine.main(["--device", "cpu", "--out", str(tmp_path / "machine.json")]) == 0
    told = tell_machine(tmp_path)
    assert torch.__version__.startswith(told.data["torch"])
    assert f"| torch | {told.data['torch']} |" in told.markdown


def test_a_module_that_cannot_be_imported_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(machine, "IMPORTED", ("no_such_module",))
    assert machine.main(["--device", "cpu", "--out", str(tmp_path / "machine.json")]) == 1
    assert "no_such_module cannot be imported: No module named" in capsys.readouterr().err


def test_help_needs_nothing_heavy():
    """Neither the package's libraries nor its installation."""
    file = REPOSITORY / "scripts" / "gpu_check.py"
    done = subprocess.run([sys.executable, "-I", "-S", str(file), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--seconds" in done.stdout


def test_a_cell_cannot_break_a_table():
    assert table(["a"], [["x|y"]]).splitlines()[-1] == "| x\\|y |"
