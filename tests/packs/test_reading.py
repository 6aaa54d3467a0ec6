"""Archives that must not be unpacked: nothing is written outside of the folder, nor more than came."""

import stat
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.packs.layout import ABOUT_FILE
from piebench_eval.packs.reading import unpack


@pytest.fixture
def refusal(tmp_path):
    """Why an archive is refused; whatever it is, only its own folder may hold something new."""

    def refusal(*entries, spoil=lambda archive: None):
        archive, folder = tmp_path / "x.piebench.zip", tmp_path / "deep" / "folder"
        folder.mkdir(parents=True)
        with ZipFile(archive, "w") as opened:
            for name, content, *more in [(ABOUT_FILE, b"{}"), *entries]:
                opened.writestr(name, content, *more)
            spoil(opened)
        with pytest.raises(PiebenchError) as caught:
            unpack(archive, folder)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "x.piebench.zip"]
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["folder"]
        assert not list(folder.iterdir())
        return str(caught.value)

    return refusal


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../images/a.png", "leads out of the folder"),
        ("images/../../a.png", "leads out of the folder"),
        ("/images/a.png", "no plain relative path"),
        ("C:\\images\\a.png", "no plain relative path"),
        ("images\\..\\a.png", "no plain relative path"),
        ("images//a.png", "no plain name"),
        ("images/./a.png", "no plain name"),
        ("images/a\n.png", "no plain name"),
        ("images/", "is a folder"),
        ("images/.. /a.png", "no plain name"),
        ("images/p2p./a.png", "no plain name"),
        ("images/a:b.png", "no plain name"),
        ("images/" + "a/" * 25_000 + "1.png", "longer than 1000 characters"),
    ],
)
def test_names_that_lead_elsewhere(refusal, name, words):
    assert words in refusal((name, b""))


def test_links(refusal):
    link = ZipInfo("images/a.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    assert "is a link" in refusal((link, b"/etc/passwd"))


def test_an_entry_that_occurs_twice_in_any_letter_case(refusal):
    assert "occurs twice" in refusal(("images/a.png", b"1"), ("images/A.png", b"2"))


def test_a_name_that_is_a_file_and_a_folder(refusal):
    assert "a file and a folder" in refusal(("images/a.png", b"1"), ("images/a.png/b.png", b"2"))


def test_compressed_entries_as_bombs_are(refusal):
    assert "is compressed" in refusal(("scores.csv", bytes(10**6), ZIP_DEFLATED))


def test_entries_that_share_their_bytes(refusal):
    def share(archive):
        for number in range(9):
            again = ZipInfo(f"images/{number}.png")
            again.header_offset, again.CRC = archive.filelist[1].header_offset, archive.filelist[1].CRC
            again.file_size = again.compress_size = 10**5
            archive.filelist.append(again)

    assert "more than it has itself" in refusal(("images/a.png", bytes(10**5), ZIP_STORED), spoil=share)


def test_what_is_no_pack(tmp_path):
    for content in (b"", b"PK\x03\x04 and no more"):
        (tmp_path / "y.piebench.zip").write_bytes(content)
        with pytest.raises(PiebenchError, match="damaged or no zip file"):
            unpack(tmp_path / "y.piebench.zip", tmp_path)
    with pytest.raises(PiebenchError, match="no such file"):
        unpack(tmp_path / "z.piebench.zip", tmp_path)
    with ZipFile(tmp_path / "y.piebench.zip", "w") as archive:
        archive.writestr("other.txt", b"")
    with pytest.raises(PiebenchError, match=r"is no pack \(no pack.json\)"):
        unpack(tmp_path / "y.piebench.zip", tmp_path)


def test_a_damaged_entry(tmp_path):
    archive = tmp_path / "x.piebench.zip"
    with ZipFile(archive, "w") as opened:
        opened.writestr(ABOUT_FILE, b"{}")
        opened.writestr("images/a.png", b"0123456789")
    archive.write_bytes(archive.read_bytes().replace(b"0123456789", b"0123406789"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(PiebenchError, match="Bad CRC-32"):
        unpack(archive, tmp_path / "folder")
