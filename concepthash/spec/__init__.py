"""What a study file may say, and how it is read."""

from concepthash.spec.dataset import CubSpec, DatasetSpec, ManifestSpec, PaperbirdsSpec
from concepthash.spec.language import (
    LanguageSpec,
    OpenClipText,
    OrthogonalEmbeddings,
    TextFile,
)
from concepthash.spec.load import Study, load_study, study_schema
from concepthash.spec.study import (
    LOWER_IS_BETTER,
    METRICS,
    Claim,
    ClaimsTable,
    GridTable,
    ResourcesSpec,
    SearchTable,
    StudySpec,
    Variant,
    label_of,
)
from concepthash.spec.trial import (
    BackboneSpec,
    LossSpec,
    OptimizerSpec,
    TrialSpec,
    changed,
)

__all__ = [
    "LOWER_IS_BETTER",
    "METRICS",
    "BackboneSpec",
    "Claim",
    "ClaimsTable",
    "CubSpec",
    "DatasetSpec",
    "GridTable",
    "LanguageSpec",
    "LossSpec",
    "ManifestSpec",
    "OpenClipText",
    "OptimizerSpec",
    "OrthogonalEmbeddings",
    "PaperbirdsSpec",
    "ResourcesSpec",
    "SearchTable",
    "Study",
    "StudySpec",
    "TextFile",
    "TrialSpec",
    "Variant",
    "changed",
    "label_of",
    "load_study",
    "study_schema",
]
