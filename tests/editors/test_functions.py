"""What tells one function from another where a run goes on only with the same."""

import subprocess
import sys
from functools import partial

import pytest

from piebench_eval.editors.function import _source_hash

MODULE = _source_hash.__module__


def blended(image, sample, share=0.5):
    return image


class Blender:
    def __call__(self, image, sample):
        return image


class Other:
    def __call__(self, image, sample):
        return None


def compiled(source):
    names = {}
    exec(source, names)
    return names["edit"]


@pytest.mark.parametrize(
    ("one", "same", "another"),
    [
        (partial(blended, share=0.2), partial(blended, share=0.2), partial(blended, share=0.8)),
        (partial(blended, share=0.2), partial(partial(blended), share=0.2), blended),
        (Blender(), Blender(), Other()),
        (
            compiled("def edit(image, sample): return 2"),
            compiled("def edit(image, sample): return 2"),
            compiled("def edit(image, sample): return 3"),
        ),
        (
            compiled("def edit(image, sample): return (lambda: 2)()"),
            compiled("def edit(image, sample):\n return (lambda: 2)()"),
            compiled("def edit(image, sample): return (lambda: 3)()"),
        ),
    ],
)
def test_functions_are_told_apart_by_what_they_do(one, same, another):
    assert _source_hash(one) == _source_hash(same) != _source_hash(another)


def test_code_without_source_is_the_same_in_another_process():
    source = "def edit(image, sample): return sample.id in {'one', 'two', 'three', 'four', 'five'}"
    program = f"from {MODULE} import _source_hash\nexec({source!r})\nprint(_source_hash(edit))"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == _source_hash(compiled(source))
