"""The bootstrap interval of a mean over queries, against closed-form variances."""

import re

import pytest
import torch

from concepthash.retrieval import bootstrap_interval


def draws(classes: int, queries: int, between: float, within: float, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    means = between * torch.randn(classes, 1, dtype=torch.float64, generator=generator)
    noise = within * torch.randn(classes, queries, dtype=torch.float64, generator=generator)
    return (means + noise).flatten(), torch.arange(classes).repeat_interleave(queries)


def test_the_interval_of_one_class_is_that_of_the_standard_error():
    scores, labels = draws(1, 2000, 0, 1)
    low, high = bootstrap_interval(scores, labels)
    half = 1.96 * float(scores.std()) / 2000**0.5
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert (high + low) / 2 == pytest.approx(float(scores.mean()), abs=half / 5)


def test_the_interval_has_the_variance_of_both_stages():
    """Variance of a resample's mean: that of the class means, and of queries within classes."""
    scores, labels = draws(60, 8, 1, 2)
    table = scores.view(60, 8)
    variance = table.mean(1).var(correction=0) / 60 + table.var(1, correction=0).mean() / (60 * 8)
    low, high = bootstrap_interval(scores, labels, resamples=8000)
    assert (high - low) / 2 == pytest.approx(1.96 * float(variance) ** 0.5, rel=0.06)


def test_repeated_queries_of_a_class_do_not_narrow_the_interval():
    scores, labels = draws(40, 1, 1, 0)
    once = bootstrap_interval(scores, labels, resamples=4000)
    often = bootstrap_interval(
        scores.repeat_interleave(50), labels.repeat_interleave(50), resamples=4000
    )
    assert often == pytest.approx(once, abs=1e-9)


def test_an_interval_of_higher_level_contains_that_of_lower_level():
    scores, labels = draws(20, 5, 1, 1)
    inner, outer = (bootstrap_interval(scores, labels, level=level) for level in (0.5, 0.99))
    assert outer[0] < inner[0] < inner[1] < outer[1]


def test_equal_scores_have_an_interval_of_no_width():
    assert bootstrap_interval(torch.full((9,), 0.25), torch.arange(9) % 2) == (0.25, 0.25)


def test_equal_seeds_give_equal_intervals_whatever_the_order_of_classes():
    scores, labels = draws(20, 5, 1, 1)
    first = bootstrap_interval(scores, labels, seed=3)
    assert bootstrap_interval(scores, labels, seed=3) == first
    assert bootstrap_interval(scores, labels + 100, seed=3) == first
    assert bootstrap_interval(scores, labels, seed=4) != first


def test_classes_of_unequal_size_weigh_by_their_queries():
    """Of classes with 1 and 3 queries, scores 1 and 0, two are drawn: 1, 1/4 twice, or 0."""
    low, high = bootstrap_interval(
        torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 1, 1, 1]), level=0.2
    )
    assert (low, high) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("scores", "labels", "how", "message"),
    [
        (torch.ones(2), torch.zeros(3), {}, "(2,) scores and (3,) labels"),
        (torch.ones(0), torch.zeros(0), {}, "(0,) scores"),
        (torch.tensor([1, torch.nan]), torch.zeros(2), {}, "scores must be finite"),
        (torch.ones(2), torch.zeros(2), {"level": 95}, "between 0 and 1, as 0.95 does, but is 95"),
        (torch.ones(2), torch.zeros(2), {"resamples": 0}, "resamples must be a whole number"),
    ],
)
def test_the_interval_refuses_unusable_input(scores, labels, how, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        bootstrap_interval(scores, labels, **how)
