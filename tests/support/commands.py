"""Commands as a user gives them, without a new process for each, which would import PyTorch again."""

import json
import subprocess
import sys
from dataclasses import dataclass

from typer.testing import CliRunner

from piebench_eval.cli.app import app

HEAVY = ("torch", "diffusers", "transformers", "torchmetrics")


@dataclass(frozen=True)
class Done:
    """A finished command.

    ``heavy``: which heavy modules a new process had imported when it ended.
    """

    returncode: int
    stdout: str
    stderr: str
    heavy: tuple[str, ...] = ()


def piebench(*arguments, **environment) -> Done:
    """Run a command in this process, with more variables in its environment."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


COMMANDS_IN_TURN = """
import contextlib, functools, io, json, sys, traceback
import typer.main
import piebench_eval.cli.app as app

typer.main.get_command = functools.cache(typer.main.get_command)  # as tests/conftest.py does
commands, heavy = json.load(sys.stdin)
for arguments in commands:
    sys.argv = ["piebench", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            app.main()
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 1
    printed = {"returncode": code, "stdout": out.getvalue(), "stderr": err.getvalue()}
    print(json.dumps({**printed, "heavy": [module for module in heavy if module in sys.modules]}))
"""


def in_a_new_process(*commands, heavy=HEAVY) -> list[Done]:
    """Run commands one after another in a process that has imported nothing yet."""
    asked = json.dumps(([[str(argument) for argument in command] for command in commands], heavy))
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS_IN_TURN], input=asked, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = map(json.loads, done.stdout.splitlines())
    return [Done(**{**one, "heavy": tuple(one["heavy"])}) for one in told]
