"""Shared fixtures: the small model, the small benchmark, and the reference recordings where they are."""

import gc
import os
from functools import cache
from pathlib import Path

import pytest
from _pytest.doctest import DoctestModule

REPOSITORY = Path(__file__).parents[1]


def recordings(variable: str, beside: str, *, needs: str) -> Path:
    """A folder of recordings named by an environment variable or lying beside the repository."""
    folder = Path(os.environ.get(variable) or REPOSITORY.parent / "shared" / beside)
    if not (folder / needs).exists():
        pytest.skip(f"no reference recordings at {folder}; set {variable} to their folder")
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Where several processes share the tests, each file is one's, and so is the folder of the demo's run."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "tests/demo" if file.startswith("tests/demo/") else file

    return ByFile(config, log)


def build_commands_once() -> None:
    """Keep an app's commands: to read their annotations takes longer than most of them take to run."""
    import typer.testing

    typer.testing._get_command = cache(typer.testing._get_command)


def pytest_collection() -> None:
    """Prepare a process that has tests of its own; one that hands them to others never comes here."""
    from piebench_eval.models.precision import use_exact_float32

    build_commands_once()
    use_exact_float32()  # MKL heeds it only before its first product, and a fixture may need one early
    gc.disable()  # what is imported and collected is no garbage


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """The tests themselves have no examples to look for."""
    collectors = yield
    return [collector for collector in collectors if not isinstance(collector, DoctestModule)]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no process is left alone with one of them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/golden/", "tests/demo/")))


def pytest_collection_finish() -> None:
    """What has been imported stays: searches for garbage, one after every failed edit, pass it over."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def no_plugins_from_other_files():
    """What a file's tests register is not there for the next file's."""
    from piebench_eval.inversions import INVERSIONS
    from piebench_eval.methods import METHODS

    with pytest.MonkeyPatch.context() as patch:
        for registry in (INVERSIONS, METHODS):
            patch.setattr(registry, "_plugins", dict(registry._plugins))
        yield


@pytest.fixture(scope="session")
def golden() -> Path:
    """Recordings of the reference's edits."""
    return recordings("PIEBENCH_GOLDEN", "golden", needs="cases.json")


@pytest.fixture(scope="session")
def golden_flow() -> Path:
    """Recordings of FlowEdit, RF-Inversion and Euler's inversion."""
    return recordings("PIEBENCH_GOLDEN_FLOW", "golden-flow", needs="cases.json")


@pytest.fixture(scope="session")
def golden_flow_b() -> Path:
    """Recordings of flow-matching editors, InstaFlow and InfEdit."""
    return recordings("PIEBENCH_GOLDEN_FLOW_B", "golden-flow-b", needs="cases.json")


@pytest.fixture(scope="session")
def golden_flow_c() -> Path:
    """Recordings of TurboEdit, FlowAlign, DNAEdit and plain SDXL."""
    return recordings("PIEBENCH_GOLDEN_FLOW_C", "golden-flow-c", needs="cases.json")


@pytest.fixture(scope="session")
def golden_paper_rest() -> Path:
    """Recordings of the other editing systems of the reference: blended latent diffusion."""
    return recordings("PIEBENCH_GOLDEN_PAPER_REST", "golden-paper-rest", needs="cases_extra.json")


@pytest.fixture(scope="session")
def golden_metrics() -> Path:
    """Recordings of the reference's evaluator."""
    return recordings("PIEBENCH_GOLDEN_METRICS", "golden-metrics", needs="metrics_golden.csv")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    from tests.support.tiny_model import save_tiny_model

    # With one layer per block, every method finds what it needs; two take more than half as long again.
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", layers=1)


@pytest.fixture(scope="session")
def tiny_image_encoder(tmp_path_factory) -> Path:
    from tests.support.tiny_clip import save_tiny_image_encoder

    return save_tiny_image_encoder(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory) -> Path:
    from tests.support.tiny_sdxl import save_tiny_sdxl

    return save_tiny_sdxl(tmp_path_factory.mktemp("models") / "sdxl")


@pytest.fixture(scope="session")
def tiny_instaflow(tmp_path_factory) -> Path:
    from tests.support.tiny_model import save_tiny_instaflow

    return save_tiny_instaflow(tmp_path_factory.mktemp("models") / "instaflow")


@pytest.fixture(scope="session")
def tiny_lcm(tmp_path_factory) -> Path:
    from tests.support.tiny_model import save_tiny_lcm

    return save_tiny_lcm(tmp_path_factory.mktemp("models") / "lcm")


@pytest.fixture(scope="session")
def tiny_sd3(tmp_path_factory) -> Path:
    from tests.support.tiny_sd3 import save_tiny_sd3

    return save_tiny_sd3(tmp_path_factory.mktemp("models") / "sd3")


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory) -> Path:
    from tests.support.tiny_flux import save_tiny_flux

    return save_tiny_flux(tmp_path_factory.mktemp("models") / "flux")


@pytest.fixture(scope="session")
def model_of(request):
    """A function that gives the small model of a family, loaded once.

    It asks for folders alone, whose fixtures no module overrides: what a session's fixture asks
    for is looked up from the test that needed it first.
    """
    from piebench_eval.models.loading import load_model
    from tests.support.tiny_clip import use_for_pictures

    @cache
    def load(family):
        folder = "tiny_model" if family == "sd1" else f"tiny_{family}"
        loaded = load_model(str(request.getfixturevalue(folder)))
        if family == "sd1":
            use_for_pictures(loaded, request.getfixturevalue("tiny_image_encoder"))
        return loaded

    return load


@pytest.fixture(scope="session")
def model(model_of):
    return model_of("sd1")


@pytest.fixture(scope="session")
def deterministic_model(tiny_model):
    from piebench_eval.models.loading import load_model

    return load_model(str(tiny_model), deterministic=True)


@pytest.fixture(scope="session")
def sdxl(tiny_sdxl):
    from piebench_eval.models.loading import load_model

    return load_model(str(tiny_sdxl))


@pytest.fixture(scope="session")
def tokenizer(model):
    return model.tokenizer


@pytest.fixture(scope="session")
def photo_bench(tmp_path_factory) -> Path:
    from tests.support.photos import save_photo_bench

    return save_photo_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def samples(photo_bench):
    from piebench_eval.data.pie_bench import load_pie_bench

    return load_pie_bench(photo_bench)


@pytest.fixture(scope="session")
def metric_networks(tmp_path_factory):
    from tests.support.metric_networks import save_metric_networks

    return save_metric_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="session")
def fake_recipe(tiny_model):
    """Two combinations; a fake runner never opens the model."""
    from piebench_eval.recipes.recipe import build_recipe

    fields = {"model": str(tiny_model), "inversions": ["ddim", "direct"], "methods": ["p2p"], "steps": 4}
    return build_recipe(fields, {}, "test")


@pytest.fixture(scope="session")
def instaflow(tmp_path_factory):
    """A model that predicts a velocity."""
    from piebench_eval.models.loading import load_model
    from tests.support.tiny_model import save_tiny_instaflow

    return load_model(str(save_tiny_instaflow(tmp_path_factory.mktemp("models") / "flow")))
