"""What of the backbone is trained."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from concepthash.spec.shortform import ShortForm
from concepthash.spec_base import Spec, Width

Blocks = Annotated[int, Field(ge=1, le=1000)]
"""Of a backbone; that it has so many is checked when it is built."""


class _Tuning(Spec):
    own_tokens: ClassVar[bool] = True
    """Whether the method may put tokens of its own into the backbone."""

    def backbone_settings(self) -> dict[str, Any]:
        """Arguments of `concepthash.methods.build.BackboneConfig`; by default all is frozen."""
        return {}


class Adapters(_Tuning):
    """Bottleneck adapters beside the blocks of a frozen backbone, as in the paper."""

    name: Literal["adapters"] = "adapters"
    width: Width = 384
    """Width of an adapter's bottleneck."""
    sites: Literal["both", "attention", "mlp"] = "both"
    """After which part of a block an adapter stands."""
    blocks: Blocks | None = None
    """How many of the last blocks have adapters; null means all."""

    def backbone_settings(self) -> dict[str, Any]:
        return {
            "adapter_width": self.width,
            "adapter_sites": self.sites,
            "adapter_blocks": self.blocks,
        }


class PromptOnly(_Tuning):
    """Nothing but the concept tokens that enter the frozen backbone."""

    name: Literal["prompt-only"] = "prompt-only"


class LastBlocks(_Tuning):
    """The last blocks of the backbone; those before them stay frozen."""

    name: Literal["last-blocks"] = "last-blocks"
    blocks: Blocks = 1
    """How many."""

    def backbone_settings(self) -> dict[str, Any]:
        return {"trained_blocks": self.blocks}


class Full(_Tuning):
    """The whole backbone."""

    name: Literal["full"] = "full"

    def backbone_settings(self) -> dict[str, Any]:
        return {"trained_blocks": None}


class LinearProbe(_Tuning):
    """Nothing: the head reads the class token of the frozen backbone."""

    own_tokens: ClassVar[bool] = False

    name: Literal["linear-probe"] = "linear-probe"


TuningSpec = Annotated[
    Adapters | PromptOnly | LastBlocks | Full | LinearProbe,
    Field(discriminator="name"),
    ShortForm("name", default="adapters"),
]
TokenlessTuningSpec = Annotated[
    Adapters | LastBlocks | Full | LinearProbe,
    Field(discriminator="name"),
    ShortForm("name", default="adapters"),
]
"""For methods that put no tokens of their own into the backbone."""
