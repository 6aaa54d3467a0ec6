"""A pack of the demo holds with other numbers of threads and other batches."""

import re

import pytest

from piebench_eval.packs.levels import Level
from piebench_eval.packs.making import pack_run
from piebench_eval.packs.remaking import Remaking
from piebench_eval.packs.rescoring import Rescoring
from piebench_eval.packs.tolerances import TOLERANCES
from piebench_eval.packs.verify import verify_pack
from piebench_eval.runs.machine import MachineOptions
from tests.packs.conftest import with_threads


@pytest.mark.slow
def test_the_demos_pack_holds_with_other_threads_and_batches(quick_run, tmp_path):
    pack = pack_run(quick_run.folder, tmp_path / "demo.piebench.zip").file
    rescoring = Rescoring(None, 0, {}, "cpu", batch_size=3)
    with with_threads(2):
        checked = verify_pack(pack, None, rescoring, Remaking(1, 0, machine=MachineOptions(devices="cpu")))
    details = {check.name: check.detail for check in checked.checks}
    assert checked.level is Level.REMADE and not checked.failed, details
    assert any(tolerance.title in details["pictures re-scored"] for tolerance in TOLERANCES[:2])
    # The demo made it in a batch of four, and here it is alone.
    assert re.search("the same pixels$|differs by up to 1 of 255 levels", details["edits re-made"])
