"""What is known of the edits behind a claim."""

from types import SimpleNamespace

import pytest

from piebench_eval.cli.explain import _print_findings, _print_json
from piebench_eval.explain.claimed_images import of_combination, quantized_edits
from piebench_eval.explain.hypotheses import Finding, Hypothesis, parse_claims

EDITS = [
    SimpleNamespace(labels={"inversion": inversion, "method": "plain"}) for inversion in ("flowedit", "euler")
]


def obstacle(name, **weights):
    about = {"combinations": {f"{key}+plain": {"weights": value} for key, value in weights.items()}}
    return quantized_edits(SimpleNamespace(about=about), of_combination(EDITS, name))


def test_quantised_weights_get_no_verdict():
    said = obstacle("flowedit+plain", flowedit="int8", euler="full")
    assert said.startswith("No verdict: flowedit+plain has weights=int8") and "--set weights=full" in said
    assert obstacle("euler+plain", flowedit="int8", euler="full") is None
    assert quantized_edits(SimpleNamespace(about={}), EDITS) is None, "a folder's edits"


@pytest.mark.parametrize("printed", [_print_findings, _print_json])
def test_the_command_says_so_in_place_of_its_advice(capsys, printed):
    claims = parse_claims("psnr=27.22")
    findings = [Finding(Hypothesis(()), (27.22,), 0.0, 1, 0.0)]
    counts = (1,) if printed is _print_findings else ()
    verdict, reason = "The claim is what the published protocol gives.", "No verdict: made by weights=nf4"
    printed(findings, claims, *counts, None)
    without = capsys.readouterr().out
    assert reason not in without and (verdict in without) == bool(counts) and "no_verdict" not in without
    printed(findings, claims, *counts, reason)
    said = capsys.readouterr().out
    assert reason in said and verdict not in said
