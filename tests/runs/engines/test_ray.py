"""Actors of a real Ray cluster on this machine."""

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.engines import ray as ray_engine
from piebench_eval.runs.engines.base import WorkersSilent
from piebench_eval.runs.jobs import plan_jobs
from piebench_eval.runs.queue import JobQueue
from piebench_eval.runs.store.session_log import read_sessions
from tests.editors.test_commands import PLUGIN
from tests.runs.engines.test_multiprocess import kill_a_worker
from tests.runs.test_worker import worker_spec
from tests.support.fake_runner import fake_runner
from tests.support.runs import digests, recorded_edits, run, wait_for_end, wait_for_pictures

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'piebench-eval[ray]'")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster as a user begins one, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "ray"
    command = [program, "start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--num-gpus=0"]
    command += ["--include-dashboard=false", "--disable-usage-stats"]
    with (
        # A short name: Ray puts sockets there, whose paths may have 107 bytes.
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,
        (tmp_path_factory.mktemp("ray") / "log").open("w") as log,
    ):
        head = subprocess.Popen([*command, f"--temp-dir={folder}"], stdout=log, stderr=log)
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
        head.send_signal(signal.SIGTERM)
        head.wait(30)


def wait_for_port(port):
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the cluster does not begin"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def undisturbed(fake_recipe, photo_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    run(fake_recipe, photo_bench, folder, make_runner=fake_runner())
    return digests(folder)


def run_on(cluster, *arguments, **options):
    options = {"workers": 2, "batch_size": 1, **options}
    return run(*arguments, engine="ray", ray_address=cluster, **options)


# With files shared, the test of a killed driver makes the same pictures.
@pytest.mark.parametrize("shared_files", [pytest.param(True, marks=pytest.mark.slow), False])
def test_actors_make_what_one_process_makes(
    cluster, fake_recipe, photo_bench, undisturbed, tmp_path, shared_files
):
    out = tmp_path / "run"
    arguments = (cluster, fake_recipe, photo_bench, out)
    summary = run_on(*arguments, shared_files=shared_files, make_runner=fake_runner())
    assert (summary.made, summary.failed) == (8, {})
    assert digests(out) == undisturbed
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8
    logs = [log.name for log in (out / "records").iterdir()]
    assert any("session" in name for name in logs) != shared_files


def test_a_killed_actor_comes_back_and_its_job_is_done(
    cluster, fake_recipe, photo_bench, undisturbed, tmp_path
):
    out = tmp_path / "run"
    killer = threading.Thread(target=kill_a_worker, args=(out, 1))
    killer.start()
    summary = run_on(cluster, fake_recipe, photo_bench, out, make_runner=fake_runner(seconds=0.5))
    killer.join()
    assert (summary.made, summary.failed) == (8, {})
    assert digests(out) == undisturbed
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8
    assert len(list((out / "records").iterdir())) == 3  # of two actors and the process that replaced one


DRIVER = """
import sys
from pathlib import Path
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from tests.support.fake_runner import fake_runner
from tests.support.runs import run

recipe, data, out, address = sys.argv[1:]
recipe = build_recipe(read_recipe_fields(Path(recipe)), {}, recipe)
who = {"engine": "ray", "ray_address": address, "workers": 2, "batch_size": 1}
run(recipe, Path(data), Path(out), **who, make_runner=fake_runner(seconds=0.5))
"""


def test_a_killed_driver_is_begun_again(cluster, fake_recipe, photo_bench, undisturbed, tmp_path):
    out, recipe = tmp_path / "run", tmp_path / "recipe.yaml"
    recipe.write_text(fake_recipe.to_yaml())
    command = [sys.executable, "-c", DRIVER, recipe, photo_bench, out, cluster]
    driver = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    wait_for_pictures(out, 2, driver)
    driver.kill()
    driver.wait()
    for worker in read_sessions(out)[-1]["workers"].values():
        wait_for_end(worker["pid"])
    summary = run_on(cluster, fake_recipe, photo_bench, out, workers=1, make_runner=fake_runner())
    assert summary.found >= 2 and summary.found + summary.made == 8
    assert digests(out) == undisturbed
    assert len(set(recorded_edits(out))) == len(recorded_edits(out)) == 8


@pytest.mark.slow  # a killed actor comes back above; test_multiprocess.py has such an edit
def test_an_edit_that_kills_its_actors_fails_and_the_rest_is_made(
    cluster, fake_recipe, photo_bench, samples, tmp_path
):
    deadly = samples[1].id
    runner = fake_runner(kills=(deadly,))
    summary = run_on(cluster, fake_recipe, photo_bench, tmp_path / "run", make_runner=runner)
    assert summary.made == 6 and set(summary.failed) == {f"ddim+p2p {deadly}", f"direct+p2p {deadly}"}


def bad_model(spec, recipe):
    raise PiebenchError("--model x: cannot be loaded")


@pytest.mark.slow  # tests/editors/test_commands.py has it in worker processes
def test_actors_have_a_plugins_editor(cluster, photo_bench, tmp_path, monkeypatch):
    monkeypatch.setattr(EDITORS, "_plugins", dict(EDITORS._plugins))
    (tmp_path / "dim.py").write_text(PLUGIN)
    fields = {"model": "none", "editors": ["dim"], "plugins": [str(tmp_path / "dim.py")]}
    recipe = build_recipe(fields, {}, "test")
    summary = run_on(cluster, recipe, photo_bench, tmp_path / "run", make_runner=fake_runner())
    assert (summary.made, summary.failed) == (4, {})


@pytest.mark.slow
def test_what_no_actor_can_do_is_said_once(cluster, fake_recipe, photo_bench, tmp_path):
    with pytest.raises(PiebenchError, match="--model x: cannot be loaded"):
        run(
            fake_recipe,
            photo_bench,
            tmp_path / "run",
            engine="ray",
            ray_address=cluster,
            make_runner=bad_model,
        )


def test_an_address_where_no_cluster_is_gives_one_error(fake_recipe, photo_bench, tmp_path):
    with pytest.raises(PiebenchError, match="no Ray cluster answers"):
        run(fake_recipe, photo_bench, tmp_path / "run", engine="ray", ray_address="127.0.0.1:1")


def specs_of_actors(fake_recipe, gpus, **machine):
    """The specifications of the actors in a cluster of machines with so many GPUs and eight cores each."""
    made = []
    total = {"GPU": float(sum(gpus)), "CPU": 8.0 * len(gpus)}
    nodes = [{"Alive": True, "Resources": {"GPU": float(count), "CPU": 8.0}} for count in gpus]
    make = SimpleNamespace(remote=lambda spec, recipe, name: made.append(spec))
    cluster = SimpleNamespace(
        cluster_resources=lambda: total,
        nodes=lambda: [*nodes, {"Alive": False}],
        remote=lambda actor: SimpleNamespace(options=lambda **options: make),
    )
    spec = worker_spec(make_runner=fake_runner())
    spec = replace(spec, machine=replace(spec.machine, **machine))
    ray_engine.RayEngine(spec, fake_recipe)._start(cluster)
    return made


def test_an_actor_has_a_device_that_can_be_set(fake_recipe):
    made = [torch.device(spec.device) for spec in specs_of_actors(fake_recipe, [2])]
    assert [torch.cuda._utils._get_device_index(device) for device in made] == [0, 0], (
        "Ray shows each actor its own GPU as the first"
    )


@pytest.mark.parametrize(
    ("gpus", "options", "together"),
    [
        ([8, 4], {}, (8, 1)),
        ([8, 4], {"workers": 2}, (2, 1)),
        ([2, 2], {"gpus_per_actor": 0.5}, (4, 2)),
        ([0, 0], {}, (1, 1)),
        ([0, 0], {"workers": 4}, (2, 1)),
    ],
)
def test_actors_of_a_machine_share_its_memory_for_features(fake_recipe, gpus, options, together):
    """And not a GPU that each has to itself; which machine Ray takes is not known, so the largest counts."""
    made = specs_of_actors(fake_recipe, gpus, **options)
    assert {(spec.workers, spec.on_device) for spec in made} == {together}


def test_an_actor_with_a_broken_gpu_makes_room_for_another(fake_recipe, samples, monkeypatch):
    class Ended(BaseException):
        pass

    def end(code):
        raise Ended(code)

    not_rebuilt = SimpleNamespace(was_current_actor_reconstructed=False)
    fake_ray = SimpleNamespace(get_runtime_context=lambda: not_rebuilt)
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: fake_ray)
    monkeypatch.setattr(ray_engine.os, "_exit", end)
    spec = worker_spec(make_runner=fake_runner(spoils=(samples[0].id,)))
    actor = ray_engine.Actor(spec, fake_recipe.to_yaml(), "0")
    (group,) = plan_jobs(fake_recipe, samples, batch_size=4)
    with pytest.raises(Ended):
        actor.run(group.model, group.jobs[0], None)


def test_actors_that_do_not_answer_are_not_lost(fake_recipe, samples):
    fake_ray = SimpleNamespace(wait=lambda awaited, num_returns, timeout: ([], awaited))
    queue = JobQueue(plan_jobs(fake_recipe, samples, batch_size=4))
    events = ray_engine._run_jobs(fake_ray, {}, {"ping": "0", "other ping": "1"}, queue, True)
    silent = WorkersSilent("no answer from actors 0, 1; ray status shows what they wait for")
    assert [next(events), next(events)] == [silent, silent]
