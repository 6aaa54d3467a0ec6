"""Memory that was freed is reused, in a process that asked for it."""

import subprocess
import sys

import pytest

CODE = """
import ctypes, resource, sys
from piebench_eval.models.allocator import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]
SIZE = 64 * 2**20
if sys.argv[1] == "kept" and not keep_freed_memory():
    print("not glibc")
    sys.exit()
def touch():
    place = libc.malloc(SIZE)
    libc.memset(place, 1, SIZE)
    libc.free(place)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode):
    done = subprocess.run([sys.executable, "-c", CODE, mode], capture_output=True, text=True, check=True)
    if "not glibc" in done.stdout:
        pytest.skip("the C library is not glibc")
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_large_tensor_is_not_paged_in_anew():
    assert faults("kept") < 10
    assert faults("default") > 10
