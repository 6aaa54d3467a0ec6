"""A machine option goes from the command to the worker in one object."""

import inspect
from dataclasses import fields

from piebench_eval.cli.run import run as run_command
from piebench_eval.runs.engines.choice import choose_engine
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from tests.support.fake_runner import fake_runner

FLAGS = {"compile": "compile_blocks", "shared_files": "shared_fs"}
"""Options whose flag has another name."""


def test_every_machine_option_is_a_flag_of_run():
    options = {field.name for field in fields(MachineOptions)} - {"make_runner"}
    flags = set(inspect.signature(run_command).parameters)
    assert {FLAGS.get(option, option) for option in options} <= flags


def test_every_worker_has_the_options_of_the_command(fake_recipe, photo_bench, tmp_path):
    machine = MachineOptions(devices="cpu", checkpointing=True, make_runner=fake_runner())
    plan = plan_run(fake_recipe, photo_bench, tmp_path / "run", Selection(limit=1), machine)
    assert choose_engine(plan, "session", ["cpu"])._spec.machine is machine
