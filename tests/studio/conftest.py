"""The browser of the studio's tests, and a benchmark that they share."""

import pytest

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.demo.benchmark import write_benchmark
from tests.support.browser import chromium, open_local_page  # noqa: F401


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """The folder of a benchmark with a sample of each editing type, which no test changes."""
    return write_benchmark(tmp_path_factory.mktemp("the studio's") / "its benchmark", 1)


@pytest.fixture(scope="session")
def drawn_samples(drawn):
    """Its samples."""
    return load_pie_bench(drawn)
