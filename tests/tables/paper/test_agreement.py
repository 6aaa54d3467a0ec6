"""Whether a run and the paper agree on the order of combinations."""

import numpy as np
import pandas as pd
import pytest

from piebench_eval.tables.paper.agreement import agreement_line, rank_agreement
from piebench_eval.tables.paper.published import load_published


def papers_means(number=8, **changes):
    """The paper's own means of its first combinations, with changed columns."""
    labels = ["inversion", "method"]
    paper = load_published().dropna(subset="paper").pivot(index=labels, columns="metric", values="paper")
    return paper.reset_index().head(number).assign(**changes)


def tau(means, metric="psnr"):
    return {agreement.metric: agreement.tau for agreement in rank_agreement(means)}[metric]


def test_the_papers_own_order_agrees_and_its_reverse_does_not():
    means = papers_means()
    line = agreement_line(means)
    assert line == (
        "Rank agreement with the paper (Kendall's tau, 8 combinations): structure 1.00, PSNR 1.00, "
        "LPIPS 1.00, MSE 1.00, SSIM 1.00, CLIP whole 1.00, CLIP edited 1.00"
    )
    assert tau(means.assign(psnr=-means["psnr"])) == pytest.approx(-1)


def test_only_the_order_counts():
    means = papers_means()
    assert tau(means.assign(psnr=np.exp(means["psnr"]))) == pytest.approx(1)


def test_it_is_tau_b_which_allows_for_ties():
    means = papers_means(4)
    means["psnr"] = means["psnr"].rank().map({1: 1.0, 2: 2.0, 3: 2.0, 4: 3.0})
    # Five of six pairs agree and one is tied in the run alone.
    assert tau(means) == pytest.approx(5 / np.sqrt(5 * 6))


def test_combinations_that_the_paper_has_not_do_not_count():
    others = pd.DataFrame(
        {"inversion": ["null_text", "negative_prompt", ""], "method": ["pnp", "p2p", "oracle"], "psnr": 0.0}
    )
    means = pd.concat([papers_means(3), others], ignore_index=True)
    (psnr,) = (agreement for agreement in rank_agreement(means) if agreement.metric == "psnr")
    assert (psnr.tau, psnr.combinations) == (1, 3)


@pytest.mark.parametrize("none", [np.inf, np.nan])
def test_a_metric_with_fewer_than_three_means_is_left_out(none):
    means = papers_means(3)
    means.loc[0, "psnr"] = none
    assert "PSNR" not in agreement_line(means) and "LPIPS" in agreement_line(means)


def test_metrics_of_different_numbers_of_combinations():
    means = papers_means(6)
    means.loc[:1, "psnr"] = np.inf
    assert "(Kendall's tau, 4 to 6 combinations)" in agreement_line(means)


def test_a_constant_has_no_order():
    assert "PSNR" not in agreement_line(papers_means(psnr=20.0))


@pytest.mark.parametrize(
    "means", [papers_means(2), papers_means()[["inversion", "method"]], pd.DataFrame({"name": ["mine"]})]
)
def test_nothing_to_rank(means):
    assert agreement_line(means) is None
