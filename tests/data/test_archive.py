import stat
import struct
import threading
import zipfile

import pytest

from piebench_eval.data import archive
from piebench_eval.data.archive import import_archive
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import DataError, PiebenchError
from tests.support.photos import ANNOTATIONS


def pack(file, photo_bench, prefix="PIE-Bench_v1/", extra=(), leave_out=(), **options):
    """Zip the small benchmark as its authors do, with more entries behind."""
    with zipfile.ZipFile(file, "w", **options) as packed:
        for path in sorted(photo_bench.rglob("*")):
            name = path.relative_to(photo_bench).as_posix()
            if name not in leave_out:
                packed.write(path, prefix + name)
        for info, content in extra:
            packed.writestr(info, content)
    return file


def load(file, out):
    return import_archive(file, out, lambda *_: None)


def refusal(file, out):
    with pytest.raises(PiebenchError) as caught:
        load(file, out)
    assert str(file) in str(caught.value)
    assert not out.exists()
    assert sorted(path.name for path in out.parent.iterdir()) == [file.name]
    return str(caught.value)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "PIE.zip"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.mark.parametrize("prefix", ["", "PIE-Bench_v1/", "data/PIE-Bench_v1/", "./x/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_folder_is_found_at_any_depth(photo_bench, file, out, prefix, method):
    junk = [
        ("__MACOSX/PIE-Bench_v1/._mapping_file.json", b"x"),
        ("__MACOSX/PIE-Bench_v1/mapping_file.json", b"x"),
        (f"{prefix}.DS_Store", b"x"),
        (f"{prefix}annotation_images/._1.png", b"x"),
        (f"{prefix}LICENSE", b"as you like"),
    ]
    pack(file, photo_bench, prefix, junk, compression=method)
    summaries = load(file, out)
    assert sum(summary.images for summary in summaries) == 4
    assert [sample.id for sample in load_pie_bench(out)] == list(ANNOTATIONS)
    assert sorted(path.name for path in out.iterdir()) == [
        "LICENSE",
        "annotation_images",
        "mapping_file.json",
    ]
    for picture in out.rglob("*.png"):
        assert picture.read_bytes() == (photo_bench / picture.relative_to(out)).read_bytes()


def test_progress_counts_files(photo_bench, file, out):
    told = []
    import_archive(pack(file, photo_bench), out, lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "PIE-Bench_v1/../../evil",
        "/tmp/evil",
        "C:/evil",
        "C:evil",
        "PIE-Bench_v1\\evil",
        "..\\evil",
        "PIE-Bench_v1/annotation_images/..",
    ],
)
def test_entries_that_lead_elsewhere(photo_bench, file, out, name):
    message = refusal(pack(file, photo_bench, extra=[(name, b"evil")]), out)
    assert ("entry" in message and "evil" in message) or ".." in message


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(photo_bench, file, out, kind):
    link = zipfile.ZipInfo("PIE-Bench_v1/annotation_images/link")
    link.create_system, link.external_attr = 3, (kind | 0o777) << 16
    assert "is a link or a device" in refusal(pack(file, photo_bench, extra=[(link, b"/etc")]), out)


def test_a_nul_in_a_name(photo_bench, file, out):
    pack(file, photo_bench, extra=[("PIE-Bench_v1/evilXname", b"")])
    file.write_bytes(file.read_bytes().replace(b"evilXname", b"evil\0name"))
    assert "no plain relative path" in refusal(file, out)


def test_encrypted_archives(photo_bench, file, out):
    pack(file, photo_bench)
    content = bytearray(file.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := content.find(signature, start + 1)) >= 0:
            content[start + flags] |= 1
    file.write_bytes(bytes(content))
    assert "encrypted" in refusal(file, out)


def test_more_or_less_than_one_benchmark(photo_bench, file, out):
    other = [("other/mapping_file.json", b"{}")]
    assert "more than one mapping_file.json" in refusal(pack(file, photo_bench, extra=other), out)
    assert "holds no mapping_file.json" in refusal(
        pack(file, photo_bench, leave_out=["mapping_file.json"]), out
    )


def test_one_name_for_two_files(photo_bench, file, out):
    extra = [("PIE-Bench_v1/twice", b"1"), ("PIE-Bench_v1//twice", b"2")]
    assert "occurs twice" in refusal(pack(file, photo_bench, extra=extra), out)


@pytest.fixture
def parts(photo_bench, tmp_path):
    """The folder as a drive hands it out: two archives, the annotations in one of them only."""
    late = [f"annotation_images/{ANNOTATIONS[key]['image_path']}" for key in list(ANNOTATIONS)[2:]]
    early = [
        path.relative_to(photo_bench).as_posix()
        for path in photo_bench.rglob("*.*")
        if path.relative_to(photo_bench).as_posix() not in late
    ]
    return [
        pack(tmp_path / "PIE-3-001.zip", photo_bench, leave_out=late),
        pack(tmp_path / "PIE-3-002.zip", photo_bench, leave_out=early),
    ]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_parts_of_a_split_archive(photo_bench, parts, out, order):
    told = []
    import_archive(parts[order], out, lambda *done: told.append(done))
    assert told[-1] == (5, 5)
    assert [sample.id for sample in load_pie_bench(out)] == list(ANNOTATIONS)
    for picture in out.rglob("*.png"):
        assert picture.read_bytes() == (photo_bench / picture.relative_to(out)).read_bytes()


def test_one_part_alone_asks_for_the_others(parts, out):
    for part, problems in zip(parts, (2, 1), strict=True):
        with pytest.raises(PiebenchError, match="give them all: --zip A --zip B") as caught:
            load(part, out)
        assert str(caught.value).count("--zip A --zip B") == problems
        assert not out.exists()


def test_parts_may_hold_the_same_file_but_no_other_under_its_name(photo_bench, parts, out, tmp_path):
    load([*parts, parts[0]], out)
    other = pack(
        tmp_path / "other.zip", photo_bench, leave_out=["mapping_file.json"], extra=[("PIE-Bench_v1/x", b"1")]
    )
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(changed, "w") as packed:
        packed.writestr("PIE-Bench_v1/x", b"2")
    with pytest.raises(PiebenchError, match=r"changed\.zip: entry .* differs from that of .*other\.zip"):
        load([*parts, other, changed], tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_problems_of_the_content_name_the_archive(photo_bench, file, out):
    picture = f"annotation_images/{ANNOTATIONS['000000000001']['image_path']}"
    pack(file, photo_bench, leave_out=[picture])
    with pytest.raises(DataError) as caught:
        load(file, out)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}/PIE-Bench_v1/mapping_file.json: id 000000000001")
    assert ".partial" not in problem and not out.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>sign in</html>", b"PK\x05\x06" + bytes(18)])
def test_files_that_are_no_archives(file, out, content):
    file.write_bytes(content)
    refusal(file, out)


def test_missing_archive(out, tmp_path):
    with pytest.raises(PiebenchError, match=r"nowhere\.zip: there is no such file"):
        load(tmp_path / "nowhere.zip", out)


def test_damaged_archives(photo_bench, file, out):
    pack(file, photo_bench)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))
    assert "is damaged" in refusal(file, out)
    file.write_bytes(bytes(content[: len(content) // 2]))
    assert "is damaged" in refusal(file, out)


def test_too_large_by_its_own_word(photo_bench, file, out, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000)
    assert "unpacks to more" in refusal(pack(file, photo_bench), out)


def lie_about_size(file, name, size):
    """Let the archive's directory and the entry's own header give another size."""
    content = bytearray(file.read_bytes())
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.rfind(signature, 0, content.rfind(name) if place == 24 else content.find(name))
        content[start + place : start + place + 4] = struct.pack("<I", size)
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("size", [10, 2**31])
def test_sizes_that_are_not_as_listed(photo_bench, file, out, size):
    pack(file, photo_bench, extra=[("PIE-Bench_v1/lies", bytes(100_000))], compression=zipfile.ZIP_DEFLATED)
    lie_about_size(file, b"PIE-Bench_v1/lies", size)
    assert "is damaged" in (message := refusal(file, out)) or "as listed" in message


def test_bytes_are_counted_as_they_are_written(photo_bench, file, out, monkeypatch):
    """The directory's sizes are only what somebody wrote there."""
    pack(file, photo_bench)
    monkeypatch.setattr(archive, "MAX_BYTES", 10_000)
    monkeypatch.setattr(archive, "sum", lambda _sizes: 0, raising=False)
    assert "unpacks to more" in refusal(file, out)


def test_a_folder_with_something_in_it_is_left_alone(photo_bench, file, out):
    pack(file, photo_bench)
    out.mkdir()
    (out / "mine").write_text("mine")
    with pytest.raises(PiebenchError, match="not an empty folder"):
        load(file, out)
    assert (out / "mine").read_text() == "mine"
    (out / "mine").unlink()
    load(file, out)
    assert len(load_pie_bench(out)) == 4
    plain = out.parent / "plain"
    plain.touch()
    with pytest.raises(PiebenchError, match="not an empty folder"):
        load(file, plain)


def test_an_interrupt_leaves_nothing_behind(photo_bench, file, out):
    def interrupt(done, _total):
        if done == 3:
            raise KeyboardInterrupt

    pack(file, photo_bench)
    with pytest.raises(KeyboardInterrupt):
        import_archive(file, out, interrupt)
    assert [path.name for path in out.parent.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_written_to(photo_bench, file):
    with pytest.raises(PiebenchError, match="cannot be written"):
        load(pack(file, photo_bench), file / "out")


def test_a_full_disk(photo_bench, file, out, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    pack(file, photo_bench)
    monkeypatch.setattr("piebench_eval.data.atomic_folder.os.fsync", full)
    with pytest.raises(PiebenchError, match=r"No space left on device.*make room"):
        load(file, out)
    assert [path.name for path in out.parent.iterdir()] == [file.name]


def test_a_name_too_long_for_the_disk(photo_bench, file, out):
    long = "PIE-Bench_v1/" + "x" * 300
    with pytest.raises(PiebenchError, match="cannot be written"):
        load(pack(file, photo_bench, extra=[(long, b"")]), out)
    assert [path.name for path in out.parent.iterdir()] == [file.name]


def test_of_two_imports_at_once_one_wins(photo_bench, file, out):
    """The folder is whole whoever made it."""
    pack(file, photo_bench)
    other_done = threading.Event()

    def meanwhile(done, _total):
        if done == 5 and not other_done.is_set():
            other_done.set()
            out.mkdir()
            (out / "first").touch()

    with pytest.raises(PiebenchError, match="cannot be written"):
        import_archive(file, out, meanwhile)
    assert [path.name for path in out.iterdir()] == ["first"]


def test_the_new_folder_has_usual_permissions(photo_bench, file, out, tmp_path):
    load(pack(file, photo_bench), out)
    (tmp_path / "usual").mkdir()
    assert out.stat().st_mode == (tmp_path / "usual").stat().st_mode
