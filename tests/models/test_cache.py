"""Keeping shared work, in memory and on disk."""

import torch

from piebench_eval.models.cache import Cache, CacheEntry, fingerprints

ENTRY = CacheEntry({"latents": torch.arange(6.0).reshape(2, 3)}, forward=5, backward=2)


def test_everything_that_determines_work_is_in_its_key():
    one, other = Cache({"model": "a"}), Cache({"model": "b"})
    tensor = torch.ones(2, 3)
    keys = {
        one.key("ddim", {"steps": 5}, [tensor]),
        other.key("ddim", {"steps": 5}, [tensor]),
        one.key("null_text", {"steps": 5}, [tensor]),
        one.key("ddim", {"steps": 6}, [tensor]),
        one.key("ddim", {"steps": 5}, [tensor + 1e-6]),
        one.key("ddim", {"steps": 5}, [tensor.reshape(3, 2)]),
        one.key("ddim", {"steps": 5}, [tensor.to(torch.bfloat16)]),
        one.key("ddim", {"steps": 5}, [tensor, tensor]),
    }
    assert len(keys) == 8
    assert one.key("ddim", {"steps": 5}, [tensor.clone()]) in keys


def test_a_fingerprint_stands_for_all_that_a_sample_has():
    tensor, other = torch.arange(12.0).reshape(2, 6), torch.ones(2, 3)
    found = fingerprints([tensor, other])
    assert found.shape == (2, 32) and not torch.equal(*found)
    assert torch.equal(found[1:], fingerprints([tensor[1:], other[1:]]))
    for changed in (
        [tensor + 1e-6, other],
        [tensor.reshape(2, 3, 2), other],
        [tensor, other.half()],
        [tensor],
    ):
        assert not torch.equal(fingerprints(changed)[0], found[0])


def test_work_on_disk_is_there_for_the_next_process(tmp_path):
    Cache({}, tmp_path).put("ddim-ab", ENTRY)
    found = Cache({}, tmp_path).get("ddim-ab")
    assert torch.equal(found.tensors["latents"], ENTRY.tensors["latents"])
    assert (found.forward, found.backward) == (5, 2)


def test_work_in_memory_alone_is_forgotten():
    cache = Cache({})
    cache.put("k", ENTRY)
    assert cache.get("k") is ENTRY
    cache.forget()
    assert cache.get("k") is None


def test_a_damaged_file_counts_as_none(tmp_path):
    Cache({}, tmp_path).put("ddim-ab", ENTRY)
    (file,) = tmp_path.rglob("*.safetensors")
    whole = file.read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        file.write_bytes(content)
        assert Cache({}, tmp_path).get("ddim-ab") is None
