"""Indices that the device makes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.tensors import device_index, take

PLACES = st.lists(st.integers(0, 6), max_size=9)


@given(PLACES)
def test_an_index_is_its_places(places):
    index = device_index(places, torch.device("cpu"))
    assert index.dtype == torch.int64 and index.tolist() == places


@given(PLACES)
def test_entries_are_taken_in_order(places):
    tensor = torch.arange(14).reshape(7, 2)
    assert torch.equal(take(tensor, places), tensor[torch.tensor(places, dtype=torch.int64)])


def test_all_entries_are_the_tensor_itself():
    tensor = torch.arange(3)
    assert take(tensor, [0, 1, 2]) is tensor
