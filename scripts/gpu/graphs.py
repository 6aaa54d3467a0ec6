"""A call's kernels recorded by a CUDA graph, and given to the device at once from then on."""

from collections.abc import Callable

import torch

_WARM_UPS = 3
"""Calls before the recording: libraries choose kernels, and take memory, when they are first called."""


class GraphedCall:
    """A function of tensors that gives the device one graph where it would give it a thousand kernels.

    They are the kernels that the function itself launches, so that its output has the same bits. What it does
    in Python happens while it is recorded, and never again: it may look at no number that changes from call
    to call, but in a tensor among its inputs.

    Args:
        function: the function; it waits for the device nowhere.
        inputs: tensors as it is called with from then on, of the same shapes.
    """

    def __init__(self, function: Callable[..., torch.Tensor], *inputs: torch.Tensor):
        self._inputs = [each.clone() for each in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = function(*self._inputs)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The function's output for other inputs."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output.clone()
