"""Everything that can be wrong with a study's trials, found before the first one trains."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from concepthash.data.cache import load_pixels
from concepthash.data.readers import open_images
from concepthash.errors import InputError
from concepthash.methods.base import Sizes
from concepthash.methods.build import build_method
from concepthash.plan import Trial
from concepthash.spec import TrainedTrial
from concepthash.train.language import class_embeddings
from concepthash.train.optimizer import check_compiler
from concepthash.train.setup import model_config, split_images


def check_trials(trials: Collection[Trial]) -> str:
    """Opens the data set, decodes its images once, reads weights and text embeddings.

    What it computes is cached for the trials. Returns the data set's fingerprint. Raises
    InputError with a line for each problem.
    """
    images = open_images(next(iter(trials)).dataset)  # of a study, all trials share it
    for size in sorted({trial.spec.backbone.image_size for trial in trials}):
        load_pixels(images, size)
    problems: list[str] = []
    languages = [
        language for trial in trials if (language := getattr(trial.spec, "language", None))
    ]
    for language in {repr(language): language for language in languages}.values():
        problems += _problems_of(partial(class_embeddings, language, images.class_names, seed=0))
    for trial in {(repr(trial.spec.protocol), trial.seed): trial for trial in trials}.values():
        problems += _problems_of(partial(split_images, trial.spec, images, trial.seed))
    configs = {}
    for spec in (trial.spec for trial in trials):
        sizes = Sizes(spec.num_bits, len(images.class_names), len(images), spec.tuning.own_tokens)
        config, weights = model_config(spec, sizes, embedding_width=1), spec.backbone.weights
        configs[repr((config.method, config.backbone, sizes, weights))] = config, weights
    for config, weights in configs.values():
        problems += _problems_of(partial(build_method, config, weights=weights))
    if any(isinstance(t.spec, TrainedTrial) and t.spec.compile == "on" for t in trials):
        problems += _problems_of(check_compiler)
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return images.fingerprint


def _problems_of(attempt: Callable[[], object]) -> tuple[str, ...]:
    try:
        attempt()
    except InputError as error:
        return error.lines
    return ()
