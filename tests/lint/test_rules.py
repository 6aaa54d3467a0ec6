"""What the rules of the linter find, and what they leave alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piebench_eval.lint.check import faults, lint_table
from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.references import reference_rows
from piebench_eval.lint.rules.bound import mse_below_psnr, mse_of_mean_psnr
from piebench_eval.lint.rules.names import same_method
from piebench_eval.lint.rules.pictures import PICTURES_OF_TYPE
from piebench_eval.lint.table import Column, Row, Table, printed
from tests.lint.random_tables import random_table, row_of, table_of

SEEDS = range(12)


def with_value(table, position, key, text, shift=0):
    """A table with one value printed otherwise."""
    row = table.rows[position]
    changed = replace(row, values={**row.values, key: printed(text, shift)})
    rows = (*table.rows[:position], changed, *table.rows[position + 1 :])
    return replace(table, rows=rows)


def found_in(table):
    return [(one.rule, one.row, one.keys[:1]) for one in faults(lint_table(table))]


@given(
    squared_errors=st.lists(st.floats(1e-7, 1), min_size=1, max_size=30),
    power=st.sampled_from([0, 2, 3, 4]),
    decimals=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
@settings(deadline=None)
def test_no_means_over_pictures_are_impossible(squared_errors, power, decimals):
    """Whatever the pictures, the unit, and how far both means are rounded."""
    errors = np.array(squared_errors)
    mse = printed(f"{errors.mean() * 10**power:.{decimals[0]}f}", 4 - power)
    psnr = printed(f"{(-10 * np.log10(errors)).mean():.{decimals[1]}f}")
    table = Table("t", (Row("a", {"mse": mse, "psnr": psnr}),), {"mse": Column("mse", "MSE", power, True)})
    assert not list(mse_below_psnr(table))


@given(psnr=st.floats(10, 45), excess=st.floats(1.05, 3.5), power=st.sampled_from([2, 3]))
@settings(deadline=None)
def test_a_mean_mse_in_a_smaller_unit_is_found_and_the_unit_is_guessed(psnr, excess, power):
    possible = excess * 10 ** (4 - psnr / 10)
    table = table_of(row_of("a", psnr=f"{psnr:.3f}", mse=f"{possible * 10.0 ** (power - 4):.6f}"))
    (finding,) = mse_below_psnr(table)
    assert finding.level == "impossible"
    assert {2: "×10²", 3: "×10³"}[power] in finding.mend
    assert float(finding.mend.split("print ")[1].split()[0]) == pytest.approx(possible, abs=0.01)


def test_rounding_decides_in_favour_of_the_table():
    """10^(-2) is 100 x 1e-4: 20.0 may be 20.05, which needs 98.9 only."""
    assert not list(mse_below_psnr(table_of(row_of("a", psnr="20.0", mse="98.9"))))
    assert list(mse_below_psnr(table_of(row_of("a", psnr="20.00", mse="98.9"))))
    assert not list(mse_below_psnr(table_of(row_of("a", psnr="20.00", mse="99.9"), row_of("b", psnr="20.4"))))


def test_a_pair_that_is_true_if_its_digits_were_cut_off_is_doubtful_only():
    table = replace(table_of(row_of("a", psnr="32.37")), columns={"mse": Column("mse", "MSE", 0, True)})
    cut = replace(table.rows[0], values={**table.rows[0].values, "mse": printed("0.000", 4)})
    (finding,) = mse_below_psnr(replace(table, rows=(cut,)))
    assert finding.level == "doubtful" and "cuts digits off" in finding.mend


def test_a_mean_mse_that_was_computed_from_the_mean_psnr_is_noted():
    (note,) = mse_of_mean_psnr(
        table_of(row_of("a", psnr="20.00", mse="100.0"), row_of("b", psnr="20.00", mse="102.0"))
    )
    assert (note.row, note.level) == ("a", "note")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("decimals", [1, 2])
def test_true_tables_have_no_findings(seed, decimals):
    assert lint_table(random_table(np.random.default_rng(seed), decimals=decimals)) == []


PLANTED = {
    "MSE of another unit": ("mse", -1, "mse-below-psnr"),
    "structure distance without factor": ("structure_distance", -3, "mixed-units"),
    "LPIPS without factor": ("lpips", -3, "mixed-units"),
    "LPIPS in per cent": ("lpips", -1, "mixed-units"),
    "LPIPS x10^4": ("lpips", 1, "mixed-units"),
    "MSE x10^5": ("mse", 1, "mixed-units"),
    "SSIM without factor": ("ssim", -2, "mixed-units"),
    "CLIP without factor": ("clip_whole", -2, "mixed-units"),
    "SSIM above 100": ("ssim", 1, "out-of-range"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("key", "shift", "rule"), PLANTED.values(), ids=PLANTED)
def test_a_value_in_another_unit_is_found_and_nothing_else(key, shift, rule, seed):
    random = np.random.default_rng(seed)
    table, position = random_table(random), int(random.integers(8))
    text = f"{table.rows[position].values[key].number.scaleb(shift):f}"
    assert found_in(with_value(table, position, key, text)) == [(rule, table.rows[position].name, (key,))]


def test_a_value_out_of_range_that_another_unit_makes_usual_says_so():
    values = {name: f"0.8{name}" for name in "1234"} | {"5": "80.1"}
    rows = tuple(Row(name, {"ssim": printed(text, 2)}, line=int(name)) for name, text in values.items())
    table = Table("t", rows, {"ssim": Column("ssim", "SSIM", 0)})
    (finding,) = faults(lint_table(table, ()))
    assert (finding.rule, finding.row) == ("out-of-range", "5") and "print 0.801" in finding.mend


@pytest.mark.parametrize("key", ["structure_distance", "lpips", "ssim", "clip_edit"])
def test_a_whole_column_in_another_unit_than_its_heading_is_one_finding(key):
    table = random_table(np.random.default_rng(1))
    shift = -2 if QUANTITIES[key].power in (0, 2) else -3
    for position, row in enumerate(table.rows):
        table = with_value(table, position, key, f"{row.values[key].number.scaleb(shift):f}")
    assert found_in(table) == [("wrong-unit", "", (key,))]


@pytest.mark.parametrize("seed", SEEDS)
def test_digits_of_another_row_are_found(seed):
    random = np.random.default_rng(seed)
    table = random_table(random)
    source, target = sorted(random.choice(8, 2, replace=False))
    for key in ("structure_distance", "lpips", "ssim", "clip_whole"):
        table = with_value(table, target, key, table.rows[source].values[key].text)
    assert ("digits-of-another", table.rows[target].name) in [found[:2] for found in found_in(table)]


def published(name, source):
    return next(row for row in reference_rows() if row.name == name and row.source.startswith(source))


def mine(row, **changes):
    """A published row in one's own table."""
    return replace(row, source="", line=2, order=Row("", {}).order, **changes)


def test_a_published_row_of_another_method_is_found_and_of_the_same_is_only_noted():
    row = published("FlowEdit", "DNAEdit")
    assert [one.rule for one in lint_table(table_of(mine(row)))] == ["copied-row"]
    for other in ({"name": "Zeta"}, {"model": "SDXL"}):
        (finding,) = lint_table(table_of(mine(row, **other)))
        assert finding.rule == "digits-of-another"
        assert row.source in finding.what


def test_a_row_is_repeated_with_its_fault_but_its_original_is_left_alone():
    """InfEdit's row in FTEdit's table has three values of Direct Inversion + MasaCtrl, which is older."""
    infedit, direct = (
        published("InfEdit", "FTEdit"),
        published("Direct Inversion + MasaCtrl", "PnP Inversion"),
    )
    assert [one.rule for one in lint_table(table_of(mine(infedit)))] == ["digits-of-another", "copied-row"]
    assert [one.rule for one in lint_table(table_of(mine(direct)))] == ["copied-row"]


@pytest.mark.parametrize("key", ["structure_distance", "psnr", "lpips", "ssim", "clip_edit"])
def test_a_published_row_with_a_changed_value_is_found(key):
    row = published("Direct Inversion + MasaCtrl", "PnP Inversion")
    changed = f"{float(row.values[key].number) + QUANTITIES[key].spread / 5:.2f}"
    table = with_value(table_of(mine(row)), 0, key, changed)
    (finding,) = faults(lint_table(table))
    assert (finding.rule, finding.keys) == ("changed-copy", (key,))
    assert f"print {row.values[key].text}" in finding.mend


def test_a_method_run_again_is_no_copy():
    """Deterministic methods come near each other's digits."""
    row = published("FlowEdit", "DNAEdit")
    again = {
        key: f"{value.number + (index % 3) * value.half * 2:f}"
        for index, (key, value) in enumerate(row.values.items())
    }
    assert faults(lint_table(table_of(replace(row_of("FlowEdit", 2, **again), model="FLUX")))) == []


def test_a_misprint_is_told_from_other_sources():
    again = row_of("FlowEdit", 2, structure_distance=23.3, psnr=23.25, lpips=93.5, mse=69.8, ssim=95.12)
    (finding,) = faults(lint_table(table_of(replace(again, model="SD3.5-medium"))))
    assert (finding.rule, finding.keys) == ("misprint", ("ssim",))
    assert "85.12" in finding.mend


def test_fewer_pictures_are_found():
    table = random_table(np.random.default_rng(0), 3)
    rows = [replace(row, images=700) for row in table.rows]
    rows[1] = replace(rows[1], images=620)
    rows[2] = replace(rows[2], counts={"psnr": 556})
    rows[0] = replace(rows[0], counts={"psnr": 698})
    assert found_in(table_of(*rows)) == [
        ("fewer-pictures", rows[1].name, ()),
        ("fewer-pictures", rows[2].name, ("psnr",)),
    ]


def of_types(random, mean):
    """Rows of a method's editing types, and one of all of them by ``mean``."""
    numbers = {type_id: random.uniform(20, 30) for type_id in PICTURES_OF_TYPE}
    parts = [replace(row_of("Zeta", 2, psnr=f"{number:.2f}"), type=key) for key, number in numbers.items()]
    return table_of(*parts, row_of("Zeta", 12, psnr=f"{mean(numbers):.2f}"))


def over_pictures(numbers):
    return sum(PICTURES_OF_TYPE[key] * number for key, number in numbers.items()) / 700


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mean_of_categories_is_told_from_a_mean_over_pictures(seed):
    assert not lint_table(of_types(np.random.default_rng(seed), over_pictures))
    wrong = of_types(np.random.default_rng(seed), lambda numbers: sum(numbers.values()) / len(numbers))
    right = over_pictures({row.type: float(row.values["psnr"].number) for row in wrong.rows if row.type})
    if abs(right - float(wrong.rows[-1].values["psnr"].number)) > 0.03:
        (finding,) = lint_table(wrong)
        assert (finding.rule, finding.line) == ("mean-of-categories", 12)
        assert f"{right:.2f}" in finding.what


def test_a_mean_outside_of_its_parts_is_impossible():
    (finding,) = lint_table(of_types(np.random.default_rng(0), lambda numbers: max(numbers.values()) + 1))
    assert (finding.rule, finding.level) == ("mean-of-categories", "impossible")


def test_clip_models_that_are_mixed_are_found():
    table = random_table(np.random.default_rng(0), 3)
    clips = ("openai/clip-vit-large-patch14", "ViT-L/14", "ViT-B/16")
    rows = [replace(row, clip_model=clip) for row, clip in zip(table.rows, clips, strict=True)]
    assert found_in(table_of(*rows)) == [("clip-model", rows[2].name, ("clip_whole",))]


def test_clip_values_of_a_smaller_model_and_exchanged_columns_are_found():
    table = random_table(np.random.default_rng(0), 3)
    assert found_in(with_value(table, 1, "clip_whole", "31.20")) == [("clip-model", "Zeta3", ("clip_whole",))]
    edited = table.rows[1].values["clip_edit"].text
    exchanged = with_value(table, 1, "clip_edit", table.rows[1].values["clip_whole"].text)
    exchanged = with_value(exchanged, 1, "clip_whole", edited)
    assert found_in(exchanged) == [("clip-exchanged", "Zeta3", ("clip_whole",))]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("PnP Inversion + P2P", "Direct Inversion + P2P", True),
        ("direct + p2p", "DirectInv w/ Prompt-to-Prompt [3]", True),
        ("P2P", "DDIM + P2P", True),
        ("null_text + p2p", "NTI + P2P", True),
        ("DDIM + PnP", "Direct Inversion + PnP", False),
        ("TurboEdit (Wu et al.)", "TurboEdit (Deutch et al.)", False),
        ("FlowEdit (SD3)", "FlowEdit (FLUX.1-dev)", False),
        ("FlowEdit (SD3.5-M)", "FlowEdit", True),
        ("RF-Solver", "RF-Inversion", False),
    ],
)
def test_methods_are_the_same_however_they_are_spelled(first, second, same):
    assert same_method(Row(first, {}), Row(second, {})) is same
