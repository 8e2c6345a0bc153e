"""Commands on what trials left: saved codes and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from concepthash.cli.app import Device, Set, TrackingUri, app
from concepthash.errors import InputError


@app.command()
def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A trial's digest, a run id, codes.safetensors, or a model with --study.",
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="map, precision@10, ...; by default all without @. Repeatable."),
    ] = None,
    concept: Annotated[
        int | None, typer.Option(help="Evaluate the sub-code of this concept alone, from 0.")
    ] = None,
    mean_center: Annotated[
        bool | None,
        typer.Option(help="Subtract the database's mean before binarizing; by default as trained."),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Encode the data set of this study, split as its baseline says, with a model.",
        ),
    ] = None,
    set_: Set = None,
    device: Device = "cpu",
    tracking_uri: TrackingUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Compute metrics from saved codes.

    Of a finished trial, without a GPU and without its images. With --study, RUN is a
    model.safetensors (of a trial, or of import-checkpoint), and the codes are computed from the
    study's images.
    """
    import tempfile

    from concepthash.evaluation.compute import check_names, evaluate
    from concepthash.evaluation.saved import read_codes
    from concepthash.evaluation.text import as_text
    from concepthash.tracking.artifacts import fetch_codes
    from concepthash.tracking.store import open_store

    check_names(metric or [])
    about: dict[str, Any] = {"codes": run}
    if study is not None:
        from concepthash.plan import make_plan
        from concepthash.spec import load_study
        from concepthash.train.evaluation import codes_of_model

        baseline = make_plan(load_study(study, set_ or []).spec).baseline
        saved = codes_of_model(Path(run), baseline, device=device)
        about = {"model": run, "dataset": baseline.dataset.title, "seed": baseline.seed}
        about["protocol"] = baseline.spec.protocol.name
    elif set_:
        raise InputError("--set: changes a study's file; give it by --study FILE")
    elif Path(run).suffix == ".safetensors":
        from concepthash.methods.bundle import is_bundle

        if is_bundle(Path(run)):
            raise InputError(f"{run}: is a model, not codes; name its images by --study FILE")
        saved = read_codes(Path(run))
    else:
        store = open_store(tracking_uri)
        store.check()
        with tempfile.TemporaryDirectory(prefix="concepthash-") as folder:
            path, about = fetch_codes(store, run, Path(folder))
            saved = read_codes(path)
    if mean_center is None:
        mean_center = saved.mean_center
    about["mean_center"] = "on" if mean_center else "off"
    saved = saved.centered() if mean_center else saved
    if concept is not None:
        saved, about["concept"] = saved.of_concept(concept), concept
    values = evaluate(saved, metric or None)
    result = {**about, "metrics": values}
    typer.echo(json.dumps(result, indent=2) if as_json else as_text(result))


@app.command()
def import_checkpoint(
    source: Annotated[Path, typer.Argument(metavar="best.pth", help="A released checkpoint.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The file to write.")],
    num_heads: Annotated[int, typer.Option(min=1, help="Attention heads of its ViT.")],
    refinement_heads: Annotated[
        int | None,
        typer.Option(min=1, help="Heads of its concept block; by default those of the ViT."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Pixels; by default what it was trained on.")
    ] = None,
) -> None:
    """Turn a released checkpoint into a model.

    From a checkpoint of the paper's released code, to a model file of this project. The released
    ViT-B/32 has --num-heads 12 --refinement-heads 8.
    """
    from concepthash.reference import import_checkpoint

    model = import_checkpoint(
        source,
        out,
        num_heads=num_heads,
        refinement_heads=refinement_heads,
        image_size=image_size,
    )
    concepts, bits = model.concept_position.shape[0], model.centers().shape[1]
    typer.echo(f"{out}: {bits} bits from {concepts} concepts, {len(model.class_weights)} classes")
