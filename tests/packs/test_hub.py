"""Packs on the Hub: published by one, scored by another; the Hub is a server of this process."""

import json
from functools import partial

import pytest
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.errors import PiebenchError
from piebench_eval.packs.hub import CLAIMED_SCORES, fetch_run, push_pack
from piebench_eval.packs.layout import CHECKSUMS_FILE
from piebench_eval.packs.making import pack_run
from piebench_eval.packs.writing import write_archive
from tests.data.fake_hub import COMMIT, serve
from tests.packs.conftest import METRICS
from tests.packs.test_packs import contents

REPO = "somebody/direct-p2p"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub").mkdir()
    with serve(tmp_path / "hub", REPO) as served:
        yield served


def test_what_one_publishes_another_scores(hub, pack, bench, tmp_path, monkeypatch):
    pushed = push_pack(REPO, pack, private=True, endpoint=hub.endpoint)
    assert pushed.commit == COMMIT and pushed.url == f"{hub.endpoint}/datasets/{REPO}"
    assert (hub.created[0]["visibility"], hub.created[0]["type"]) == ("private", "dataset")
    assert (hub.folder / pack.name).read_bytes() == pack.read_bytes()
    assert (hub.folder / "README.md").read_bytes() == contents(pack)["README.md"]
    monkeypatch.setattr("piebench_eval.packs.hub.fetch_run", partial(fetch_run, endpoint=hub.endpoint))
    fetched = ["score", f"hub:{REPO}", "--data", str(bench), "--metrics", METRICS, "--device", "cpu"]
    done = CliRunner().invoke(app, fetched)
    assert done.exit_code == 0, done.output
    assert f"piebench table {REPO.replace('/', '--')}" in done.output
    folder = tmp_path / "somebody--direct-p2p"
    assert (folder / "scores.csv").read_bytes() == (folder / CLAIMED_SCORES).read_bytes()
    assert json.loads((folder / "SOURCE.json").read_text())["commit"] == COMMIT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", folder.name]


@pytest.fixture
def published(hub, pack):
    (hub.folder / pack.name).write_bytes(pack.read_bytes())
    return hub


def test_a_run_that_was_fetched_is_used_again(published, pack):
    folder = fetch_run(f"hub:{REPO}", published.endpoint)
    published.requests.clear()
    assert fetch_run(f"hub:{REPO}/{pack.name}", published.endpoint) == folder
    assert not any(pack.name in path for _, path in published.requests)
    (folder / "SOURCE.json").write_text("{}")
    with pytest.raises(PiebenchError, match="holds another run or revision"):
        fetch_run(f"hub:{REPO}", published.endpoint)


def test_a_forged_pack_is_neither_published_nor_fetched(published, pack, tmp_path):
    files = {name: content for name, content in contents(pack).items() if name != CHECKSUMS_FILE}
    files["recipe.yaml"] += b"\n# changed\nsteps: 7\n"
    write_archive(tmp_path / "forged.piebench.zip", files)
    with pytest.raises(PiebenchError, match=r"does not hold \(parts: "):
        push_pack(REPO, tmp_path / "forged.piebench.zip", endpoint=published.endpoint)
    assert not published.created and not published.uploads
    (published.folder / pack.name).write_bytes((tmp_path / "forged.piebench.zip").read_bytes())
    with pytest.raises(PiebenchError, match="does not hold"):
        fetch_run(f"hub:{REPO}", published.endpoint)
    assert not (tmp_path / "somebody--direct-p2p").exists()


def test_a_pack_without_pictures_cannot_be_scored(hub, made, tmp_path):
    pack_run(made, hub.folder / "y.piebench.zip", pictures=False)
    with pytest.raises(PiebenchError, match="its pictures are not in the pack"):
        fetch_run(f"hub:{REPO}", hub.endpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_several_packs_must_be_told_apart_and_none_is_none(published, pack):
    (published.folder / "y.piebench.zip").write_bytes(b"")
    with pytest.raises(PiebenchError, match=f"name one: hub:{REPO}/x"):
        fetch_run(f"hub:{REPO}", published.endpoint)
    with pytest.raises(PiebenchError, match=r"has no pack z\.piebench\.zip"):
        fetch_run(f"hub:{REPO}/z.piebench.zip", published.endpoint)


@pytest.mark.parametrize("status", [401, 403])
def test_whoever_may_not_write_is_told_how(hub, pack, status):
    hub.status = status
    with pytest.raises(PiebenchError, match="HF_TOKEN"):
        push_pack(REPO, pack, endpoint=hub.endpoint)


@pytest.mark.parametrize("name", ["direct-p2p", "/tmp/x", "a/../b"])
def test_names_that_no_repository_has(pack, name):
    with pytest.raises(PiebenchError, match="OWNER/NAME"):
        push_pack(name, pack, endpoint="http://127.0.0.1:1")


def test_a_reference_without_a_name_is_repeated_as_it_was_given():
    with pytest.raises(PiebenchError, match=r"^direct-p2p: name a dataset"):
        fetch_run("hub:direct-p2p")
