"""Evaluating codes: this project's beside a sort, a plain closed form, and faiss's search.

The sort is what published code does: one distance matrix of all queries, one full argsort, the
precision by a cumulative sum. faiss (`pip install -e '.[benchmark]'`; left out where it is not
installed) only searches: every distance by its range search, or the 100 nearest. All must agree
on the mAP, the sort and faiss's order within the bounds that ties leave. Evaluators take turns,
so that a noisy machine disturbs all alike; times are medians over the rounds.

    python benchmarks/retrieval.py [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import multiprocessing
import platform
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import torch
import typer
from torch import Tensor

from concepthash.retrieval import (
    Histograms,
    average_precisions,
    binarize,
    bootstrap_interval,
    cosine_average_precisions,
    hamming_distances,
    mean_average_precision,
    pack,
    tied_average_precisions,
)

try:
    import faiss
except ImportError:
    faiss = None

BLOCK = 256
"""Queries at once, where an evaluator works in blocks."""


class Search(NamedTuple):
    queries: Tensor
    query_labels: Tensor
    database: Tensor
    database_labels: Tensor


class Size(NamedTuple):
    name: str
    queries: int
    database: int
    classes: int


CUB = Size("CUB-200-2011", 5_794, 5_994, 200)
NABIRDS = Size("NABirds", 24_633, 23_929, 555)
MILLION = Size("a million", 5_000, 1_000_000, 1_000)


def random_search(size: Size, num_bits: int = 64) -> Search:
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randn(n, num_bits, generator=generator) for n in size[1:3]]
    labels = [torch.randint(size.classes, (n,), generator=generator) for n in size[1:3]]
    return Search(codes[0], labels[0], codes[1], labels[1])


def ours(search: Search) -> float:
    return mean_average_precision(*search)


def sort_based(search: Search) -> float:
    """All queries in one block; the order inside a distance is whatever the sort leaves."""
    queries, database = search.queries.sign(), search.database.sign()
    distances = 0.5 * (queries.shape[1] - queries @ database.T)
    order = distances.argsort(dim=1)
    relevant = (search.database_labels[order] == search.query_labels[:, None]).float()
    precision = relevant.cumsum(1) / torch.arange(1, order.shape[1] + 1)
    scores = (precision * relevant).sum(1) / relevant.sum(1).clamp(min=1)
    return float(scores.mean())


def plain_closed_form(search: Search) -> float:
    """Distances by a matrix product, counted by bincount, in torch and in blocks."""
    queries, database = binarize(search.queries), binarize(search.database)
    found = []
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        distances = hamming_distances(queries[rows], database)
        relevant = search.query_labels[rows, None] == search.database_labels
        counts, hits = (
            bin_rows(distances, mask, queries.shape[1] + 1)
            for mask in (torch.ones_like(relevant), relevant)
        )
        found.append(tied_average_precisions(Histograms(counts, hits)))
    return float(torch.cat(found).mean())


def bin_rows(distances: Tensor, mask: Tensor, num_bins: int) -> Tensor:
    bins = (torch.arange(len(distances))[:, None] * num_bins + distances)[mask]
    return torch.bincount(bins, minlength=len(distances) * num_bins).view(-1, num_bins)


def faiss_index(search: Search) -> tuple[Any, np.ndarray]:
    index = faiss.IndexBinaryFlat(search.database.shape[1])
    index.add(pack(search.database).numpy())
    return index, pack(search.queries).numpy()


def faiss_all(search: Search) -> float:
    """Every distance, in blocks of queries, and no score of them: the search alone."""
    index, queries = faiss_index(search)
    for start in range(0, len(queries), BLOCK):
        index.range_search(queries[start : start + BLOCK], 8 * queries.shape[1] + 1)
    return float("nan")


def faiss_nearest(search: Search) -> float:
    index, queries = faiss_index(search)
    index.search(queries, 100)
    return float("nan")


def faiss_score(search: Search) -> float:
    """mAP of the counts that faiss's range search gives, untimed: do we search the same?"""
    index, queries = faiss_index(search)
    found = []
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        limits, distances, ids = index.range_search(queries[rows], 8 * queries.shape[1] + 1)
        shape = (len(limits) - 1, -1)
        near = torch.from_numpy(distances.astype(np.int64)).view(shape)
        labels = search.database_labels[torch.from_numpy(ids)].view(shape)
        relevant = labels == search.query_labels[rows, None]
        num_bins = search.queries.shape[1] + 1
        counts = bin_rows(near, torch.ones_like(relevant), num_bins)
        hits = bin_rows(near, relevant, num_bins)
        found.append(tied_average_precisions(Histograms(counts, hits)))
    return float(torch.cat(found).mean())


EVALUATORS: dict[str, Callable[[Search], float]] = {
    "this project": ours,
    "sort, one block": sort_based,
    "closed form, plain torch": plain_closed_form,
    "faiss, all distances (search alone)": faiss_all,
    "faiss, 100 nearest (search alone)": faiss_nearest,
}


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    if faiss is not None:
        faiss.omp_set_num_threads(threads)


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_growth(call: Callable[[], Any]) -> int:
    """Bytes of memory that the process held at most, more than before."""
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(peak, process.memory_info().rss) - before


def check(search: Search, names: list[str]) -> None:
    """Every evaluator that scores gives the same score, but for what ties leave open."""
    score = ours(search)
    low, high = (mean_average_precision(*search, ties=t) for t in ("pessimistic", "optimistic"))
    assert low <= score <= high
    if "closed form, plain torch" in names:
        assert abs(plain_closed_form(search) - score) < 1e-9
    if "sort, one block" in names:
        assert low - 1e-6 <= sort_based(search) <= high + 1e-6  # it works in float32
    if faiss is not None:
        assert abs(faiss_score(search) - score) < 1e-9
    print(f"mAP {score:.6f} by all; ties alone leave [{low:.6f}, {high:.6f}]\n")


def compare(size: Size, names: list[str], rounds: int) -> None:
    print(f"### {size.name}: {size.queries:,} queries x {size.database:,}, 64 bits\n")
    search = random_search(size)
    check(search, names)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            seconds[name].append(timed(lambda name=name: EVALUATORS[name](search)))
    print("| | median s | least s | times this project |\n|---|---|---|---|")
    for name in names:
        ratios = [a / b for a, b in zip(seconds[name], seconds["this project"], strict=True)]
        print(
            f"| {name} | {statistics.median(seconds[name]):.3f} | {min(seconds[name]):.3f}"
            f" | {statistics.median(ratios):.1f} |"
        )
    print()


def before_binarizing(size: Size, rounds: int, threads: int) -> None:
    """The mAP by cosine beside the one by Hamming distance, of the same codes, in turn."""
    print(f"### By cosine, before binarizing: {size.name}, 64 bits\n")
    search = random_search(size)
    print(
        "| threads | Hamming, median s | cosine, median s | cosine / Hamming |\n|---|---|---|---|"
    )
    for count in sorted({1, threads}):
        set_threads(count)
        cosine_average_precisions(*search)
        pairs = [
            (timed(lambda: ours(search)), timed(lambda: cosine_average_precisions(*search)))
            for _ in range(rounds)
        ]
        hamming, cosine = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(cosine / hamming for hamming, cosine in pairs)
        print(f"| {count} | {hamming:.3f} | {cosine:.3f} | {ratio:.1f} |")
    print()


def search_million(way: str, threads: int) -> tuple[float, int]:
    """Seconds, and bytes of memory beside the input, of one way; for a process of its own."""
    set_threads(threads)
    ours(random_search(Size("", 2, 2, 1)))  # the compiled kernel is loaded before memory is read
    search = random_search(MILLION)
    if way == "packed":
        codes = pack(search.queries), pack(search.database)
        search = search._replace(queries=codes[0], database=codes[1])
    ways: dict[str, Callable[[], Any]] = {
        "real": lambda: ours(search),
        "packed": lambda: mean_average_precision(*search, num_bits=64),
        "faiss": lambda: faiss_nearest(search),
    }
    took = []
    grown = peak_growth(lambda: took.append(timed(ways[way])))
    return took[0], grown


def large(size: Size, threads: int) -> None:
    print(f"### {size.queries:,} queries x {size.database:,}, 64 bits\n")
    print("| | s | peak memory growth, MB |\n|---|---|---|")
    ways = {"this project, real codes": "real", "this project, packed codes": "packed"}
    if faiss is not None:
        ways["faiss, 100 nearest (search alone)"] = "faiss"
    for name, way in ways.items():
        # Memory that an allocator kept from earlier work would hide what this takes.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            seconds, grown = pool.submit(search_million, way, threads).result()
        print(f"| {name} | {seconds:.2f} | {grown / 1e6:.0f} |")
    print()


def per_length(size: Size, rounds: int) -> None:
    print(f"### Length of codes, at the size of {size.name}\n")
    print("| K | bytes an image | ms a query |\n|---|---|---|")
    for num_bits in (16, 32, 64, 128):
        search = random_search(size, num_bits)
        seconds = statistics.median(timed(lambda s=search: ours(s)) for _ in range(rounds))
        width = pack(search.database[:1]).shape[1]
        print(f"| {num_bits} | {width} | {1000 * seconds / size.queries:.4f} |")
    print()


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    set_threads(threads)
    print(f"{platform.machine()}, {threads} threads, {rounds} rounds, torch {torch.__version__},")
    print(f"faiss {faiss.__version__ if faiss else 'not installed'}\n")
    first = timed(lambda: ours(random_search(Size("", 2, 2, 1))))
    print(f"The first call, which loads the compiled kernel or compiles it, takes {first:.1f} s.\n")
    names = [name for name in EVALUATORS if faiss or not name.startswith("faiss")]
    compare(CUB, names, rounds)
    compare(NABIRDS, [name for name in names if not name.startswith("sort")], rounds)
    before_binarizing(CUB, rounds, threads)
    large(MILLION, threads)
    per_length(CUB, rounds)
    search = random_search(CUB)
    scores = average_precisions(*search)
    seconds = timed(lambda: bootstrap_interval(scores, search.query_labels))
    print(f"A bootstrap interval of 2,000 resamples at {CUB.name}'s size takes {seconds:.2f} s.")


if __name__ == "__main__":
    typer.run(main)
