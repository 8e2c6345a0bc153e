"""The artifact study.json: the study as it was run, with the version of its layout."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from concepthash.errors import InputError
from concepthash.plan import Plan, make_plan
from concepthash.spec import StudySpec

FILE = "study.json"
SCHEMA = 2
"""Raised when a study that was recorded earlier can no longer be read. 1 was the bare study."""

_AGAIN = (
    "run the study again with this version (concepthash-study run FILE), or name its file:"
    " concepthash-study report FILE"
)


def as_data(plan: Plan) -> dict[str, Any]:
    """What study.json holds: the study, and what the files that it names held."""
    study = plan.study.model_dump(mode="json")
    return {"schema": SCHEMA, "study": study, "contents": dict(plan.baseline.contents)}


def parse(text: str, where: str) -> Plan:
    """The plan of the study in the text of a study.json.

    Raises InputError with one line, that starts with `where`, if it has another schema or cannot
    be read.
    """
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InputError(f"{where}: its {FILE} is not a JSON object; {_AGAIN}")
    schema = data.get("schema", 1)
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        raise InputError(
            f"{where}: was recorded with schema {schema} by {'a newer' if newer else 'an older'}"
            f" version, but this version reads schema {SCHEMA}; {_AGAIN}"
        )
    try:
        study = StudySpec.model_validate_json(json.dumps(data.get("study")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "study"
        raise InputError(
            f"{where}: its {FILE} does not fit this version ({place}: {first['msg']}); {_AGAIN}"
        ) from error
    return make_plan(study, data.get("contents", {}))
