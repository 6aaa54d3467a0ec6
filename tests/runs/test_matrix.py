"""Every option with every other, in pairs: each row of the matrix beside plain edits, by their latents.

Options are read off the recipe and the settings of all inversions and methods, so that a new one is tried
with everything else at once. A row is made as ``piebench run`` makes it, by a worker with a model's runner; a
plain edit has the same options of the recipe, but float32, one picture at a time, and nothing on disk.

Every row runs on a CPU: in float16 no operator is missing there, so that none is left out.
"""

import io
from dataclasses import replace
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from piebench_eval.data.images import load_image
from piebench_eval.data.sample import Sample
from piebench_eval.models import compile as compiled
from piebench_eval.models import image_encoder, loading
from piebench_eval.models.cache import Cache
from piebench_eval.models.image_encoder import load_image_encoder
from piebench_eval.models.loading import PRECISIONS, load_model
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch
from piebench_eval.runs.jobs import check_edits, plan_jobs
from piebench_eval.runs.machine import MachineOptions, WorkerSpec
from piebench_eval.runs.model_runner import ModelRunner
from piebench_eval.runs.worker import Worker
from tests.support.options import ABSENT, defaults, fits, recipe_fields, recipe_options
from tests.support.pairs import METHODS_OF_NOISE, OF_NOISE, goes_with, marked
from tests.support.pairwise import pairwise
from tests.support.tiny_model import save_tiny_model

STEPS, SIDE = 2, 128
EXECUTION = {"batch": [1, 2], "cache": [False, True], "checkpointing": [False, True]}
"""What ``piebench run`` lets one choose besides the recipe. Compiling, which takes seconds, is slow below."""

PLAINLY = {name: values[0] for name, values in EXECUTION.items()}
PAIRS = [pair for pair in product(OF_NOISE, METHODS_OF_NOISE) if goes_with("sd1", *pair)]
EVERY_INVERSION_AND_METHOD = [marked(*pair) for pair in PAIRS]

FLOAT32 = 1e-4
"""How far latents of about 1 may be off at most in fp32, and in tf32, which is fp32 on a CPU. Found: 2e-5 at
most, over all rows with two and with three steps, in batches of two and of three, of two models."""

NULL_TEXT = 1e-2
"""The same after null-text inversion, as root mean square: Adam turns the sign of a tiny gradient, which is
noise, into a whole step, and a threshold may let the difference through. Mostly latents are 1e-5 off at most;
4e-2 was found once."""

RECONSTRUCTED = 1e-5
"""How far latents of a picture that is only reconstructed are off at most, as root mean square."""

ROUNDINGS = 30
"""How far they may be off in bf16 and fp16 as root mean square, in the format's spacing of numbers (``eps``)
times what the edit moves them. Found likewise: 16 at most in both formats. A method that does not act is off
by 0.1 (MasaCtrl, Plug-and-Play) to 1.3 of what the edit moves: by 100 roundings and more in fp16."""

TRAINED = ("stylediffusion",)
"""Inversions whose training goes its own way in half precision, since Adam makes a whole step of every
gradient's sign, however small: latents were up to a third of the edit's move away. There, only their pictures
are compared, within the grey levels of bf16. Found: 5.3."""

GREY_LEVELS = {torch.float32: 0.01, torch.bfloat16: 8, torch.float16: 1}
"""How far pictures may be off in the mean. Found: 0.0003, 3.8 and 0.3."""

JPEG = 40
"""How far a saved JPEG may be off in the mean, in grey levels. Found: 13 to 25, as the pictures are noise."""


FEWER = {"inversion.skip": [ABSENT, 1], "inversion.scale": [ABSENT, 1.0], "inversion.interval": [ABSENT, 1]}
"""What the quick part has of these numbers; it is a quarter shorter for that."""


def telling(row):
    """A row, without the cleaner levels in half precision, which tell nothing.

    There the picture's level is as noisy as the noise, and two steps to there and back multiply roundings
    fivefold: even a plain edit's picture is off by more than is allowed.
    """
    rounded = row["precision"] in ("fp16", "bf16") and row["inversion.noise_levels"] == "cleaner"
    return row | {"inversion.noise_levels": "sampling"} if rounded else row


@cache
def matrix(whole):
    """Rows of all options; half precision comes first, and so fills rows that need no other."""
    options = {**recipe_options(), "precision": [*PRECISIONS][::-1], **EXECUTION}
    rows = pairwise({**options, "batch": [1, 3]} if whole else {**options, **FEWER}, fits)
    return [telling(row) for row in rows]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("models") / "least", layers=1, width=16))


def loads_once():
    """What loads a model, each precision's once; it begins without checkpointing."""
    load, loaded = load_model, {}

    def load_or_take(model, revision, device, precision, *options):
        if precision not in loaded:
            loaded[precision] = load(model, revision, device, precision, *options)
        loaded[precision].unet.disable_gradient_checkpointing()
        return loaded[precision]

    return load_or_take


@pytest.fixture(scope="module", autouse=True)
def load_once(tiny_image_encoder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_model", loads_once())
        encoder = load_image_encoder(str(tiny_image_encoder), torch.device("cpu"))
        patch.setattr(image_encoder, "load_image_encoder", lambda *_: encoder)
        yield


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    """One for all rows, so that a row would get another's work if their keys did not tell them apart."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Pictures of 192x128: without blended words, with words that are in no prompt, and with both words."""
    folder = tmp_path_factory.mktemp("wide")
    told = [
        (skimage.data.coffee(), "a cat's mirror, in the cup", "a dog's mirror, in the cup", ""),
        (skimage.data.chelsea(), "a round cake", "a square cake", "coffee mirror"),
        (skimage.data.astronaut(), "a photo's [astronaut]", "a photo's [cat]", "astronaut cat"),
    ]
    samples = []
    for name, (picture, source, target, words) in zip("abc", told, strict=True):
        file = folder / f"{name}.png"
        Image.fromarray(picture[:300, :450]).resize((192, 128)).save(file)
        samples.append(Sample(name, file.name, file, source, target, "", "1", words, ()))
    return samples


def batch_of(row, samples):
    """The last so many; the first of these has more words to its target, where words need not be as many."""
    first, *others = samples[-row["batch"] :]
    if row["method.controller"] != "replace":
        first = replace(first, marked_target_prompt=f"{first.marked_target_prompt} in the photo")
    return [first, *others]


class PlainEdits:
    """Edits by the options of a row's recipe in float32, each sample by itself."""

    def __init__(self, model):
        self.folder = model
        self.model = load_model(model)
        self.model.cache = Cache({})

    def edit(self, row, sample):
        (edit,) = edit_batch(self.model, [sample], self.combination(row))
        return edit

    def combination(self, row):
        recipe = build_recipe(fields_of(row, self.folder), {"precision": "fp32"}, "a row")
        return recipe.combination(*recipe.pairs[0])

    def moved(self, row, edit):
        """How far an edit has moved the latents of its picture; 0 where it is only reconstructed."""
        picture = load_image(edit.sample.file, SIDE, row["image_loader"])
        common = self.combination(row).common
        encoded = self.model.encode_images(
            [picture],
            common.posterior,
            common.seed,
            row["quirks.noise_on_device"],
            row["quirks.added_shift"],
        )
        moved = rms(edit.latents - encoded[0])
        return moved if moved > FLOAT32 else 0.0


@pytest.fixture(scope="module")
def plain(model):
    return PlainEdits(model)


class Watched(ModelRunner):
    """Keeps its edits, of which a worker tells the pictures alone."""

    def __init__(self, spec, recipe):
        super().__init__(spec, recipe)
        self.edits = []

    def edit(self, combination, samples):
        edits = super().edit(combination, samples)
        self.edits += edits
        return edits


def edited_by_a_worker(row, samples, model, cache_folder):
    """A row's edits, each with its encoded picture."""
    recipe = build_recipe(fields_of(row, model), {}, "a row")
    check_edits(recipe, samples)
    machine = MachineOptions(
        batch_size=len(samples),
        cache=cache_folder if row["cache"] else None,
        compile=row.get("compile", False),
        checkpointing=row["checkpointing"],
        make_runner=Watched,
    )
    worker = Worker(WorkerSpec(machine, "cpu", None, len(samples), None, "s"), recipe, "w")
    (group,) = plan_jobs(recipe, samples, len(samples))
    (job,) = group.jobs
    outcomes = list(worker.run(group.model, job))
    worker.close()
    assert [outcome.record.get("error") for outcome in outcomes] == [None] * len(samples), row
    assert {outcome.record["batch_size"] for outcome in outcomes} == {len(samples)}, "some failed together"
    return list(zip(worker.runner.edits, [outcome.image for outcome in outcomes], strict=True))


def fields_of(row, model):
    return {**recipe_fields(row), "model": model, "steps": STEPS}


def rms(difference):
    return float(difference.square().mean().sqrt())


def nearest(row, off):
    """Differences that count in half precision: all of them, or the smaller half.

    The half, where a threshold lets a guidance difference or a position through in one format and not in the
    other. Found there: 21 roundings at most, where all values together are off by up to 112.
    """
    if row["method"] != "proximal" and not {row["method.mask_guided"], row["method.local_blend"]} & {True}:
        return off
    return off.abs().flatten().sort().values[: off.numel() // 2]


def grey_levels_off(one, other):
    """From 255 to 0 it is one, where pixels wrap."""
    off = np.abs(one.astype(int) - other)
    return np.minimum(off, 256 - off)


def faults(row, edit, encoded, plain):
    """What is wrong with an edit of a row, in words."""
    expected = plain.edit(row, edit.sample)
    off, dtype = edit.latents - expected.latents, PRECISIONS[row["precision"]]
    is_trained = row["inversion"] in TRAINED and dtype != torch.float32
    grey_levels = GREY_LEVELS[torch.bfloat16 if is_trained else dtype]
    if dtype == torch.float32 and row["inversion"] == "null_text":
        grey_levels = 1
        if (typical := rms(off)) > NULL_TEXT:
            yield f"latents are off by {typical:.1e} as root mean square"
    elif dtype == torch.float32:
        if (largest := float(off.abs().max())) > FLOAT32:
            yield f"latents are off by {largest:.1e}"
    elif not is_trained:
        moved = plain.moved(row, expected)  # not at all where a picture is only reconstructed ...
        moved = moved if moved > RECONSTRUCTED else 0  # ... but for what EDICT's steps round
        roundings = rms(nearest(row, off)) / (moved or 1) / torch.finfo(dtype).eps
        # Where only a part of the picture is edited, the smaller half may be the other part, which is exact.
        if roundings > ROUNDINGS or (moved and not off.any()):
            yield f"latents are off by {roundings:.1f} roundings"
    for told in ("nfe_forward", "nfe_backward", "notes"):
        if getattr(edit, told) != getattr(expected, told):
            yield f"{told}: {getattr(edit, told)}, not {getattr(expected, told)}"
    of_image = torch.from_numpy(grey_levels_off(edit.image, expected.image)).float()
    if (
        shown := float((of_image if dtype == torch.float32 else nearest(row, of_image)).mean())
    ) > grey_levels:
        yield f"the picture is off by {shown:.2f} grey levels"
    saved = grey_levels_off(edit.image, np.asarray(Image.open(io.BytesIO(encoded)))).mean()
    if saved > (0 if row["image_format"] == "png" else JPEG):
        yield f"the saved picture is off by {saved:.1f} grey levels"


def check(row, wide, model, cache_folder, plain):
    samples = batch_of(row, wide)
    edits = edited_by_a_worker(row, samples, model, cache_folder)
    found = [fault for edit, encoded in edits for fault in faults(row, edit, encoded, plain)]
    assert not found, f"{'; '.join(found)} with {row}"


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("inversion", "method"), EVERY_INVERSION_AND_METHOD)
def test_any_two_options_together(wide, model, cache_folder, plain, inversion, method, whole):
    rows = [row for row in matrix(whole) if (row["inversion"], row["method"]) == (inversion, method)]
    assert rows
    for row in rows:
        check(row, wide, model, cache_folder, plain)


# The whole matrix, which is slow, has batches of three with every method.
@pytest.mark.parametrize(
    "method",
    [name if name == "p2p" else pytest.param(name, marks=pytest.mark.slow) for name in METHODS_OF_NOISE],
)
def test_a_batch_of_three_by_default(wide, model, cache_folder, plain, method):
    check({**defaults("direct", method), **PLAINLY, "batch": 3}, wide, model, cache_folder, plain)


@pytest.mark.slow
@pytest.mark.parametrize(("inversion", "method"), PAIRS)
def test_every_precision_and_batch_by_default(wide, model, cache_folder, plain, inversion, method):
    for precision, batch in product(PRECISIONS, [1, 3]):
        row = {**defaults(inversion, method), **PLAINLY, "precision": precision, "batch": batch}
        check(row, wide, model, cache_folder, plain)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_compiled_blocks_with_everything_else(wide, model, cache_folder, plain, precision, monkeypatch):
    """Traced and guarded as for any compiler, and then run as they are."""
    monkeypatch.setattr(loading, "load_model", loads_once())
    monkeypatch.setattr(compiled, "compile_blocks", cache(partial(compiled.compile_blocks, backend="eager")))
    torch._dynamo.reset()
    options = {"inversion": OF_NOISE, "method": METHODS_OF_NOISE, **EXECUTION}
    for row in pairwise(options, lambda one, other: True):
        of_row = {**defaults(row["inversion"], row["method"]), **row, "precision": precision, "compile": True}
        check(of_row, wide, model, cache_folder, plain)
    torch._dynamo.reset()
