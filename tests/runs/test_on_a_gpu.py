"""Every combination on a GPU that is not there: devices and types meet, and no step waits for the device.

Every family of models, with all combinations that go with it.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.observer import EditObserver
from piebench_eval.inversions import INVERSIONS, null_text, stylediffusion
from piebench_eval.inversions.stylediffusion import StyleDiffusionSettings
from piebench_eval.methods import METHODS
from piebench_eval.methods.pnp import PnPController
from piebench_eval.models import base as base_module
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.runs.batch_editing import encode_inputs
from piebench_eval.runs.edit_inputs import plan_guidance, plan_schedule
from piebench_eval.tensors import device_index
from tests.support.fake_cuda import CUDA, DeviceWaits, fake_device, fake_image_encoder, fake_model
from tests.support.pairs import PAIRS_OF_FAMILIES, goes_with

STEPS, UPDATES = 2, 2
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OF_INVERSIONS = {
    "null_text": {"inner_steps": UPDATES},
    "stylediffusion": {"inner_steps": UPDATES, "inner_decay": 0},
    "edit_friendly": {"skip": 0},
}
OF_METHODS = {
    "masactrl": {"mask_guided": True, "source_prompt": "sample", "start_step": 1, "start_layer": 5},
    "p2p": {"cross_replace_steps": 0.5, "blend_start": 0},
    "value_sharing": {"value_steps": 0.5},
}
OF_JOINT_ATTENTION = {"masactrl": {"start_step": 1}}

# bf16 shows every device and every mixture of types; float32 mixes none, and float16 repeats bf16's.
PRECISIONS_TO_RUN = [
    name if name == "bf16" else pytest.param(name, marks=pytest.mark.slow) for name in PRECISIONS
]
MODELS = [
    pytest.param(family, precision, marks=[] if precision == "bf16" else pytest.mark.slow)
    for family in FAMILIES
    for precision in (PRECISIONS if family in ("sd1", "sd3") else ["bf16"])
]
SLOW = [pytest.mark.slow]
TABLE_1 = ["p2p", "masactrl", "pnp"]
OF_SD1 = {
    **dict.fromkeys(("ddim", "null_text", "edit_friendly"), TABLE_1),
    "direct": [*TABLE_1, "proximal"],
}
OF_SDXL = {"direct": ["plain"]}
OF_SD3 = {"direct": ["p2p"], "flowedit": ["plain"], "dnaedit": ["dnaedit"], "uni_inv": ["uni_edit"]}
OF_FLUX = {"direct": ["value_sharing"], "flowedit": ["plain"], "rf_inversion": ["rf_inversion"]}
OF_LCM = {"direct": ["plain"]}
"""What is not slow: the twelve of Table 1, and what they have not: controls that read guidance, and edits
with shifted inputs.

Other inversions, each of which is tested by itself, hand over no more, and the code that moves tensors is
one for all families. InstaFlow's models are UNets like Stable Diffusion 1.x's, and flow
like Stable Diffusion 3's.
"""


def _marks(family, inversion, method):
    of_families = {"sd1": OF_SD1, "sdxl": OF_SDXL, "sd3": OF_SD3, "flux": OF_FLUX, "lcm": OF_LCM}
    return [] if method in of_families.get(family, {}).get(inversion, []) else SLOW


def _marks_of_inversion(family, inversion):
    """Offsets along a flow are Stable Diffusion 3's; negative-prompt's conditions null-text has as well.

    StyleDiffusion evaluates one sample at a time, which takes long.
    """
    of_sd1 = family == "sd1" and inversion not in ("negative_prompt", "stylediffusion")
    return [] if of_sd1 or (family, inversion) == ("sd3", "edit_friendly") else SLOW


COMBINATIONS = [
    pytest.param(
        *of_model.values,
        *pair,
        marks=[*of_model.marks, *_marks(family, *pair)],
    )
    for of_model in MODELS
    for case in PAIRS_OF_FAMILIES
    for family, *pair in [case.values]
    if family == of_model.values[0]
]
INVERTED = [
    pytest.param(
        *of_model.values,
        inversion,
        marks=[*of_model.marks, *_marks_of_inversion(family, inversion)],
    )
    for of_model in MODELS
    for family in of_model.values[:1]
    for inversion in INVERSIONS.names()
    if goes_with(family, inversion)
]


class OnAGpu:
    """Two samples that are edited with a model on a fake device.

    Attributes:
        reads: what ``updates_without_numbers`` hands out in the place of what the host reads.
    """

    def __init__(self, model, samples, reads):
        self.model, self.samples, self.reads, self._calls = model, samples, reads, 0
        common = CommonSettings(model="fake", steps=STEPS)
        self.schedule = plan_schedule(model, common)
        self.inputs = encode_inputs(model, samples, 128, guidance=plan_guidance(model, common))
        self.invert = functools.cache(self._invert)
        self._predict, model.predict = model.predict, self._counted

    def _invert(self, name):
        """The samples inverted, what the host waited for meanwhile, and the UNet rows of each sample."""
        inversion, self.model.evaluations = INVERSIONS.get(name), EvaluationCounter()
        settings = inversion.settings(**OF_INVERSIONS.get(name, {}))
        self.reads.clear()
        with self._waits() as waits:
            inverted = inversion.invert(self.model, self.inputs, self.schedule, settings)
        return (
            inverted,
            [*waits.found, *self.reads],
            [self.model.evaluations.forward[place] for place in (0, 1)],
        )

    def edit(self, inversion, method, observer=None):
        """Edited latents, and what the host waited for meanwhile."""
        of_method, inverted = METHODS.get(method), self.invert(inversion)[0]
        is_joint = "joint" in self.model.family.attention
        chosen = OF_METHODS | OF_JOINT_ATTENTION if is_joint else OF_METHODS
        settings = of_method.settings(**chosen.get(method, {}))
        controller = of_method.prepare(self.samples, self.model, STEPS, settings).controller
        inputs = replace(self.inputs, observer=observer)
        with self._waits() as waits:
            latents = edit(self.model, inputs, inverted, controller, self.schedule)
        return latents, waits.found

    def _counted(self, *arguments):
        self._calls += 1
        return self._predict(*arguments)

    def _waits(self):
        self._calls = 0
        return DeviceWaits(lambda: self._calls)


@pytest.fixture(scope="module")
def updates_without_numbers():
    """What needs numbers is handed in: gradients, and what the host reads. The second sample stops early."""

    reads = []

    def to_host_list(values):
        reads.append(("read", None))
        ends = [[1.0, 1.0], [0.0, 1.0]][: len(values)]
        return ends if values.dim() == 2 else [0] * len(values)

    def to_host_list_of_one(values):
        reads.append(("read", None))
        return [1.0, 1.0] if values.is_floating_point() else [0] * len(values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", lambda loss, inputs: (torch.zeros_like(inputs),))
        patch.setattr(torch.autograd, "backward", lambda output, gradient: None)
        patch.setattr(null_text, "to_host_list", to_host_list)
        patch.setattr(stylediffusion, "to_host_list", to_host_list_of_one)
        # How alike words are, which infedit asks once per batch, before its first step.
        patch.setattr(
            "piebench_eval.methods.infedit.cosine_similarity",
            lambda states, others: np.zeros((len(states), len(others)), dtype=np.float32),
        )
        yield reads


@pytest.fixture(scope="module")
def on_a_gpu(tokenizer, samples, updates_without_numbers):
    """A function that gives two samples with a family's model at a precision."""

    @functools.cache
    def with_model(family, precision):
        model = fake_model(tokenizer, PRECISIONS[precision], family)
        if model.family.value_texts:
            model.image_encoders[StyleDiffusionSettings().image_encoder] = fake_image_encoder(
                model.denoiser.config.cross_attention_dim
            )
        return OnAGpu(model, samples[:2], updates_without_numbers)

    with fake_device():
        yield with_model


@pytest.fixture(params=PRECISIONS_TO_RUN)
def with_sd1(request, on_a_gpu):
    return on_a_gpu("sd1", request.param)


@pytest.mark.parametrize(("family", "precision", "inversion", "method"), COMBINATIONS)
def test_an_edit_never_waits_for_the_device(on_a_gpu, family, precision, inversion, method):
    latents, waits = on_a_gpu(family, precision).edit(inversion, method)
    assert latents.shape == (2, FAMILIES[family].latent_channels, 16, 16)
    assert (latents.device, latents.dtype) == (CUDA, torch.float32)
    assert not waits


COPIES = {
    # Before the first step noise is drawn on the host, for all levels, and copied as a whole.
    **dict.fromkeys(("edit_friendly", "turboedit", "ddcm", "flowedit", "flow_align"), 1),
    **dict.fromkeys(("dnaedit", "rf_inversion"), 1),
    # A sample has its steps after the one before: for each a picture, and weights of its network.
    "stylediffusion": 2 * (1 + 6),
}
READS = {
    # An update's loss says whether there is another: one read for all samples. At the end, what was skipped.
    "null_text": STEPS * UPDATES + 1,
    "stylediffusion": 2 * STEPS * UPDATES + 1,  # of one sample at a time
}


@pytest.mark.parametrize(("family", "precision", "inversion"), INVERTED)
def test_an_inversion_waits_only_where_it_must(on_a_gpu, family, precision, inversion):
    inverted, waits, _ = on_a_gpu(family, precision).invert(inversion)
    conditions = [part for step in inverted.uncond_embeds or () for part in step.parts]
    values = [] if inverted.values is None else [inverted.values.scales, inverted.values.shifts]
    tensors = [inverted.trajectory, inverted.offsets, *conditions, *values]
    # Two coupled latents are rounded only where the model is given one of them.
    dtype = torch.float64 if INVERSIONS.get(inversion).coupled else torch.float32
    assert {(t.device, t.dtype) for t in tensors if t is not None} == {(CUDA, dtype)}
    calls = [call for name, call in waits if name == "_to_copy"]
    assert len(calls) == COPIES.get(inversion, 0)
    assert not any(calls) or inversion == "stylediffusion", "not before the first step"
    assert len(waits) - len(calls) == READS.get(inversion, 0)


def test_a_sample_that_stopped_early_costs_no_more(with_sd1):
    first, second = with_sd1.invert("null_text")[2]
    assert first - second == STEPS * (UPDATES - 1)


def test_an_observer_waits_for_the_device_in_no_step_but_the_first(with_sd1):
    observer = EditObserver()
    observer.begin_batch(
        [sample.source_prompt for sample in with_sd1.samples],
        [sample.target_prompt for sample in with_sd1.samples],
        with_sd1.model.text_tokenizers,
    )
    _, waits = with_sd1.edit("direct", "p2p", observer)
    assert waits == [("_to_copy", 1)] * 2 * len(with_sd1.samples)  # which tokens make up a branch's words
    assert len(observer.seen.film) == STEPS + 1 and observer.seen.masks


def test_pictures_are_decoded_on_the_device(with_sd1, monkeypatch):
    monkeypatch.setattr(base_module, "to_host", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "numpy", lambda tensor: tensor)
    pictures = with_sd1.model.decode_latents(with_sd1.inputs.latents)
    assert (pictures.device, pictures.dtype, pictures.shape) == (CUDA, torch.uint8, (2, 128, 128, 3))


def test_a_control_that_visits_the_host_is_caught(with_sd1, monkeypatch):
    monkeypatch.setattr(PnPController, "_from_source", lambda controller, states: states.cpu())
    with pytest.raises(RuntimeError, match=r"(?i)device"):
        with_sd1.edit("direct", "pnp")


NOTED = {
    "a copy to the host": lambda states: states.cpu(),
    "a copy from the host": lambda states: torch.zeros(states.shape).to(CUDA),
    "a number from the host": lambda states: torch.tensor(1.0, device=CUDA),
    "a list as an index": lambda states: states[list(range(len(states)))],
    "a list as a tensor": lambda states: torch.tensor([1.0, 2.0], device=CUDA),
    "into a tensor of the host": lambda states: torch.zeros(states.shape).copy_(states),
    "writing by a mask": lambda states: states.clone().index_put_((states > 0,), states[0]),
}
REFUSED = {
    "a number": lambda states: states.sum().item(),
    "a condition": lambda states: 1 if states.sum() > 0 else 2,
    "a list": lambda states: states.tolist(),
    "places": lambda states: states.nonzero(),
    "reading by a mask": lambda states: states[states > 0],
    "a comparison": lambda states: torch.equal(states, states + 1),
}


@pytest.mark.parametrize("waiting", NOTED.values(), ids=NOTED)
def test_what_waits_for_the_device_is_noted(with_sd1, waiting):
    with DeviceWaits() as waits:
        waiting(with_sd1.inputs.latents)
    assert len(waits.found) == 1


@pytest.mark.parametrize("waiting", REFUSED.values(), ids=REFUSED)
def test_what_needs_numbers_of_the_device_is_refused(with_sd1, waiting):
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        waiting(with_sd1.inputs.latents)


def test_what_stays_on_the_device_is_not_noted(with_sd1):
    states = with_sd1.inputs.latents
    with DeviceWaits() as waits:
        filled = states.clone()
        filled[filled > 0] = 1.0  # by one number: no places are counted
        filled[device_index([0], CUDA)] = states[:1] * torch.tensor(2.0)
        torch.full((), 7, device=CUDA)
    assert not waits.found
