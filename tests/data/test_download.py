import hashlib
import json
from types import SimpleNamespace

import pytest

from piebench_eval import __version__
from piebench_eval.data.download import REPO_ID, fetch_pie_bench_pp
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import DataError, PiebenchError
from tests.data.fake_hub import COMMIT, row, serve, write_dataset, write_parquet

FILE = "3_delete_object_80/V1-00000-of-00001.parquet"


@pytest.fixture
def hub(tmp_path):
    with serve(write_dataset(tmp_path / "dataset")) as served:
        yield served


@pytest.fixture
def impatient(monkeypatch):
    """The Hub's library keeps what came in pieces of 10 MB, and waits a second after a broken connection."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _seconds: None))


def fetch(hub, folder, **options):
    return fetch_pie_bench_pp(folder, lambda *_: None, endpoint=hub.endpoint, **options)


def refusal(hub, folder, **options):
    with pytest.raises(PiebenchError) as caught:
        fetch(hub, folder, **options)
    assert not folder.exists()
    assert not [path for path in folder.parent.iterdir() if path.name.endswith(".partial")]
    return str(caught.value)


def test_the_whole_dataset_becomes_a_folder(hub, tmp_path):
    told = []
    out = tmp_path / "out"
    summaries = fetch_pie_bench_pp(out, lambda *news: told.append(news), endpoint=hub.endpoint)
    assert told[10:12] == [("fetching", 11, 11), ("converting", 1, 11)] and told[-1] == ("converting", 11, 11)
    assert [(summary.type_id, summary.images, summary.full_masks) for summary in summaries] == [
        (str(type_id), 2, 2) for type_id in range(10)
    ]
    samples = load_pie_bench(out)
    assert [sample.id for sample in samples[:3]] == ["000000000000", "000000000001", "100000000000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "out"]
    assert not any(path.endswith("README.md") for _, path in hub.requests)


def test_the_folder_says_where_it_is_from(hub, tmp_path):
    fetch(hub, tmp_path / "out", revision="v1")
    source = json.loads((tmp_path / "out" / "SOURCE.json").read_text())
    assert (source["repo_id"], source["revision"]) == (REPO_ID, COMMIT)
    assert (source["license"], source["piebench_eval"]) == ("cc-by-sa-4.0", __version__)
    assert len(source["sha256"]) == 11
    content = (tmp_path / "dataset" / FILE).read_bytes()
    assert source["sha256"][FILE] == hashlib.sha256(content).hexdigest()
    assert any("blended_word" in note for note in source["conversion"])


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub, tmp_path, impatient):
    hub.cut = {FILE}
    fetch(hub, tmp_path / "out")
    half = (tmp_path / "dataset" / FILE).stat().st_size // 2
    assert hub.ranges == [f"bytes={half // 1000 * 1000}-"]
    assert len(load_pie_bench(tmp_path / "out")) == 20


def test_a_second_call_fetches_what_the_first_did_not(hub, tmp_path):
    hub.broken = {FILE: 503}
    message = refusal(hub, tmp_path / "out")
    assert "503" in message and "run the same command again" in message
    first = hub.fetched()
    hub.broken = {}
    fetch(hub, tmp_path / "out")
    second = hub.fetched()
    whole = [file for file in first if file != FILE]
    assert 4 <= len(whole) < 10 and FILE in second
    assert len(whole) + len(second) == len({*whole, *second}) == 11
    assert not (tmp_path / "out.download").exists()


def test_a_file_damaged_on_disk_is_named_and_fetched_again(hub, tmp_path):
    hub.broken = {FILE: 503}
    refusal(hub, tmp_path / "out")
    hub.broken = {}
    damaged = tmp_path / "out.download" / "2_add_object_80" / "V1-00000-of-00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    hub.fetched()
    message = refusal(hub, tmp_path / "out")
    assert str(damaged) in message and "SHA-256" in message and not damaged.exists()
    fetch(hub, tmp_path / "out")
    assert "2_add_object_80/V1-00000-of-00001.parquet" in hub.fetched()


def test_other_bytes_than_listed_are_not_kept(hub, tmp_path):
    hub.lies = {FILE}
    assert "SHA-256" in refusal(hub, tmp_path / "out")
    hub.lies = set()
    fetch(hub, tmp_path / "out")
    assert len(load_pie_bench(tmp_path / "out")) == 20


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_errors_of_the_hub(hub, tmp_path, status):
    hub.status = status
    message = refusal(hub, tmp_path / "out")
    assert REPO_ID in message and (str(status) in message or "does not know it" in message)


def test_unknown_revision(hub, tmp_path):
    message = refusal(hub, tmp_path / "out", revision="nowhere")
    assert "has no revision nowhere" in message


def test_no_network(hub, tmp_path):
    hub.endpoint = "http://127.0.0.1:9"
    assert "cannot be reached" in refusal(hub, tmp_path / "out")


def test_a_full_disk(hub, tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    message = refusal(hub, tmp_path / "out")
    assert "No space left" in message and "make room" in message


def test_a_dataset_of_another_form(hub, tmp_path):
    (hub.folder / FILE).unlink()
    assert "3_delete_object_80/V1-*.parquet" in refusal(hub, tmp_path / "out")
    write_parquet(hub.folder / FILE, [row("x", mask="1")])
    with pytest.raises(DataError, match=r"out\.download/3_delete.*row 0: id x: field \"mask\""):
        fetch(hub, tmp_path / "out")


def test_a_folder_with_something_in_it_is_left_alone(hub, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(PiebenchError, match="not an empty folder"):
        fetch(hub, tmp_path / "out")
    assert hub.requests == []
    (tmp_path / "out" / "mine").unlink()
    fetch(hub, tmp_path / "out")
    assert len(load_pie_bench(tmp_path / "out")) == 20
