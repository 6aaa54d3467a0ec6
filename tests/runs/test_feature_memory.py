"""What is kept of inversions: calculated before a run, measured in it, refused where it does not fit."""

import json
from dataclasses import replace

import pytest

from piebench_eval.cli.forecast import features_line
from piebench_eval.diffusion import feature_store
from piebench_eval.diffusion.feature_limits import FeatureLimits, parse_feature_limits
from piebench_eval.diffusion.features import FeatureMemory
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs import batch_editing, feature_places
from piebench_eval.runs.batch_editing import edit_latents
from piebench_eval.runs.engines.batching import BatchSizer
from piebench_eval.runs.engines.choice import choose_engine
from piebench_eval.runs.feature_needs import feature_need, plan_features, require_room
from piebench_eval.runs.feature_places import room_here, worker_limits
from piebench_eval.runs.feature_room import FeatureNeed, FeatureRoom
from piebench_eval.runs.host_memory import available_memory
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from tests.support.commands import piebench
from tests.support.recipes import shipped

SIDE, STEPS = 128, 3
POSITIONS = 8 * 8 + 512
LAYER = POSITIONS * 32 * 4  # width of the small FLUX, float32


def small(model, recipe="rf-solver-edit-flux", **fields):
    own = {"model": str(model), "steps": STEPS, "method.first_layer": 0, "method.last_layer": None}
    return shipped(recipe, {**own, **fields})


def on_cpu(**limits):
    return MachineOptions(devices="cpu", feature_memory=FeatureLimits(**limits))


class Watched(FeatureMemory):
    """A memory that notes the most that it has held, and the memory that this really took."""

    def forget(self, level):
        stored = [each for kept in self._steps.values() for step in kept for each in step.values()]
        storages = {
            each.tensor.untyped_storage().data_ptr(): each.tensor.untyped_storage() for each in stored
        }
        found = sum(self.held.values()), sum(storage.nbytes() for storage in storages.values())
        type(self).most = max(type(self).most, found)
        super().forget(level)


@pytest.mark.parametrize(
    ("recipe", "fields", "layers"),
    [
        # 2 steps x 2 evaluations, 1 x 1 and, at its first step, 1 more; of 2 single-stream blocks.
        ("rf-solver-edit-flux", {}, 2 * 2 * 2),
        ("fireflow-flux", {"method.last_layer": 0}, 1),
        ("fireflow-flux", {"method.inject": STEPS, "method.editing_strategy": ["add_q", "add_k"]}, 4 * 2 * 2),
    ],
)
def test_the_measured_peak_is_the_calculated_one(
    tiny_flux, model_of, samples, monkeypatch, recipe, fields, layers
):
    made = small(tiny_flux, recipe, **fields)
    combination = made.combination(*made.pairs[0])
    need = feature_need(combination, samples[0], (SIDE, SIDE))
    assert need.bytes_per_picture == layers * LAYER
    monkeypatch.setattr(Watched, "most", (0, 0), raising=False)
    monkeypatch.setattr("piebench_eval.methods.feature_sharing.FeatureMemory", Watched)
    edit_latents(model_of("flux"), samples[:2], combination)
    assert Watched.most == (2 * need.bytes_per_picture,) * 2


def test_refinements_keep_their_evaluations_too(tiny_flux, samples):
    made = small(tiny_flux)
    fields = json.loads(made.model_dump_json())
    fields["inversions"] = {"euler": {"solver": "midpoint", "refinements": 1}}
    combination = build_recipe(fields, {}, "test").combination("euler", "feature_sharing")
    assert feature_need(combination, samples[0], (SIDE, SIDE)).evaluations == 2 * 2 * 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_an_edit_breaks_off(tiny_flux, model_of, samples, tmp_path, monkeypatch, error):
    made, files = small(tiny_flux), []
    create = feature_store.tempfile.TemporaryFile
    monkeypatch.setattr(
        feature_store.tempfile, "TemporaryFile", lambda **how: files.append(create(**how)) or files[-1]
    )

    def broken(*arguments):
        raise error("in the middle")

    monkeypatch.setattr(batch_editing, "edit", broken)
    limits = FeatureLimits(host=0, disk=tmp_path)
    with pytest.raises(error):
        edit_latents(model_of("flux"), samples[:1], made.combination(*made.pairs[0]), feature_limits=limits)
    assert len(files) == 2 and all(file.closed for file in files), "a file for each step"
    assert not list(tmp_path.iterdir())


def test_a_run_that_would_not_fit_says_so_before_it_starts(tiny_flux, photo_bench, tmp_path):
    made, selection = small(tiny_flux), Selection(limit=2)

    def planned(machine):
        return plan_run(made, photo_bench, tmp_path / "run", selection, machine)

    with pytest.raises(PiebenchError) as refused:
        planned(on_cpu(host=8 * LAYER - 1))
    for part in (
        "rf_solver+feature_sharing: keeps 0.6 MB of an inversion's features per picture of 128x128 (4 eval",
        "may take 0.6 MB of the host's memory; name a folder for the rest",
        "--feature-memory disk=FOLDER",
        "resolution",
        "method.inject",
    ):
        assert part in str(refused.value)
    assert [need.largest_batch for need in planned(on_cpu(host=8 * LAYER)).features] == [1]
    with pytest.raises(PiebenchError, match=r"for 3 pictures.*--batch-size 2"):
        planned(replace(on_cpu(host=20 * LAYER), batch_size=3))
    with pytest.raises(PiebenchError, match="fewer --workers"):
        planned(replace(on_cpu(host=8 * LAYER), workers=2))
    disk = planned(on_cpu(host=0, disk=tmp_path))
    assert disk.features[0].room.split(10) == {"device": 0, "host": 0, "disk": 10}
    (tmp_path / "file").write_text("")
    with pytest.raises(PiebenchError, match=r"--feature-memory disk .*is a file"):
        planned(on_cpu(disk=tmp_path / "file"))


def test_other_methods_keep_nothing(fake_recipe, samples):
    assert plan_features(fake_recipe, samples, MachineOptions(devices="cpu")) == []


def test_batches_are_as_large_as_their_features_have_room(tiny_flux, photo_bench, tmp_path):
    machine = on_cpu(host=3 * 8 * LAYER)
    plan = plan_run(small(tiny_flux), photo_bench, tmp_path / "run", Selection(), machine)
    spec = choose_engine(plan, "session", ["cpu"])._spec
    assert spec.features == plan.features and spec.features[0].largest_batch == 3
    grown, given = BatchSizer(8, True, {"a+b": 3}), BatchSizer(8, False, {"a+b": 3})
    for _ in range(4):
        grown.fitted("a+b", grown.size("a+b"), 0, 1, 1000)
    assert [grown.size("a+b"), given.size("a+b"), given.size("direct+p2p")] == [3, 3, 8]


def test_the_weights_may_leave_less_room(tiny_flux, samples):
    made = small(tiny_flux)
    need = feature_need(made.combination(*made.pairs[0]), samples[0], (SIDE, SIDE), FeatureRoom(10**9, 0))
    require_room([need], MachineOptions())
    with pytest.raises(PiebenchError, match=r"keeps 0\.6 MB.*host=SIZE"):
        require_room([replace(need, room=FeatureRoom(10**5, 0))], MachineOptions())


def test_the_dry_run_says_how_much_and_where(tiny_flux, photo_bench, tmp_path):
    where = f"host=0.3MB,disk={tmp_path}"
    dry = piebench(
        *(
            "run",
            "--data",
            photo_bench,
            "--config",
            "rf-solver-edit-flux",
            "--model",
            tiny_flux,
            "--limit",
            1,
        ),
        *("--set", "method.first_layer=0", "--steps", STEPS, "--device", "cpu", "--feature-memory", where),
        *("--out", tmp_path / "run", "--dry-run", "--json"),
    )
    assert dry.returncode == 0, dry.stderr
    (part,) = json.loads(dry.stdout)["plan"]
    features = part["features"]
    assert (features["evaluations"], features["bytes_per_evaluation"]) == (4, 2 * LAYER)
    assert features["bytes_per_picture"] == 8 * LAYER and features["size"] == [SIDE, SIDE]
    assert features["places"] == {"device": 0, "host": 300_000, "disk": 8 * LAYER - 300_000}


def test_the_dry_runs_line():
    need = FeatureNeed("rf_solver+feature_sharing", (512, 512), 4, 169_869_312, FeatureRoom(3 * 10**8, None))
    kept = "rf_solver+feature_sharing keeps 679 MB of an inversion's features per picture of 512x512"
    where = "4 evaluations of 170 MB; of one picture, 300 MB on the GPU and 379 MB in the host's memory"
    assert features_line(need) == f"{kept}: {where}."


@pytest.mark.parametrize(
    "text", ["8GB", "device=8", "host=8GB,host=9GB", "gpu=8GB", "device=-1GB", "disk=", "host=1GB,disk="]
)
def test_other_texts_are_refused(text):
    with pytest.raises(PiebenchError, match=f"--feature-memory {text}: .*disk=/scratch"):
        parse_feature_limits(text)


def test_the_folder_may_have_any_name():
    found = parse_feature_limits("host=500MB,disk=/a,b=c d")
    assert (found.device, found.host, str(found.disk)) == (None, 500_000_000, "/a,b=c d")
    assert parse_feature_limits(None) == parse_feature_limits("") == FeatureLimits()


def test_workers_share_what_there_is(monkeypatch):
    import torch

    gpu = torch.device("cuda:0")
    for name, found in (("mem_get_info", (70, 80)), ("memory_reserved", 40), ("memory_allocated", 30)):
        monkeypatch.setattr(torch.cuda, name, lambda device, found=found: found)
    monkeypatch.setattr(feature_places, "available_memory", lambda: 80)
    assert worker_limits(FeatureLimits(), gpu, 1, 1) == FeatureLimits(20, 40)  # a quarter of 80, half of 80
    assert worker_limits(FeatureLimits(), gpu, workers=8, on_device=2) == FeatureLimits(10, 5)
    assert worker_limits(FeatureLimits(100, 48), gpu, workers=8, on_device=2) == FeatureLimits(50, 6)
    assert worker_limits(FeatureLimits(), torch.device("cpu"), 1, 1) == FeatureLimits(0, 40)
    assert room_here(MachineOptions(engine="ray")) is None


def test_a_group_of_processes_may_have_less_than_the_machine(tmp_path):
    """A container's limit, or a batch system's on the group above."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (groups / "job/task").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable: 500 kB\n")
    assert available_memory(proc, groups) == 500 * 1024
    (proc / "self/cgroup").write_text("4:memory:/old\n0::/job/task\n")
    (groups / "job/task/memory.max").write_text("max\n")
    (groups / "job/memory.max").write_text("100000\n")
    (groups / "job/memory.current").write_text("70000\n")
    (groups / "job/memory.stat").write_text("anon 1\ninactive_file 5000\n")
    assert available_memory(proc, groups) == 35_000
