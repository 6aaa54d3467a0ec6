"""``import piebench_eval`` from a notebook."""

import subprocess
import sys

import pytest

import piebench_eval as pb


def test_the_import_is_light():
    code = (
        "import sys, piebench_eval\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'pandas', 'rich'} & set(sys.modules)\n"
        "sys.exit(bool(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_everything_that_is_named_is_there():
    for name in pb.__all__:
        assert callable(getattr(pb, name)) and getattr(pb, name).__doc__


def test_nothing_else_is():
    with pytest.raises(AttributeError, match="inpaint"):
        pb.inpaint  # noqa: B018
