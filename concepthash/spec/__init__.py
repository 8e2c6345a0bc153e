"""What a study file may say, and how it is read. No torch."""

from concepthash.spec.changes import (
    changed,
    effective,
    has_field,
    label_of,
    parse_trial,
    reason_without_effect,
    value_of,
)
from concepthash.spec.language import LanguageSpec, OpenClipText, OrthogonalEmbeddings, TextFile
from concepthash.spec.load import Study, load_study, study_schema
from concepthash.spec.methods import ConceptHashTrial, HashNetTrial, ItqTrial, TrialSpec
from concepthash.spec.study import ResourcesSpec, StudySpec
from concepthash.spec.tables import Claim, ClaimsTable, GridTable, SearchTable, Table, Variant
from concepthash.spec.trial import BackboneSpec, FittedTrial, TrainedTrial, is_path, named_files
from concepthash.spec.unions import TRIAL_FIELDS

__all__ = [
    "TRIAL_FIELDS",
    "BackboneSpec",
    "Claim",
    "ClaimsTable",
    "ConceptHashTrial",
    "FittedTrial",
    "GridTable",
    "HashNetTrial",
    "ItqTrial",
    "LanguageSpec",
    "OpenClipText",
    "OrthogonalEmbeddings",
    "ResourcesSpec",
    "SearchTable",
    "Study",
    "StudySpec",
    "Table",
    "TextFile",
    "TrainedTrial",
    "TrialSpec",
    "Variant",
    "changed",
    "effective",
    "has_field",
    "is_path",
    "label_of",
    "load_study",
    "named_files",
    "parse_trial",
    "reason_without_effect",
    "study_schema",
    "value_of",
]
