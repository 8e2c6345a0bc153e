"""Unions of a study file: members are told apart by one key, and a bare word is a member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class ShortForm:
    """Annotates a discriminated union: `prompt-only` stands for `{name: prompt-only}`.

    A mapping without `key` is taken for the member `default`, if there is one. The words of `bare`
    are members themselves, and stay as they are.
    """

    key: str
    default: str | None = None
    bare: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.in_full, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        options = handler(schema)["oneOf"]
        words = []
        for index, option in enumerate(options):
            key = handler.resolve_ref_schema(option).get("properties", {}).get(self.key)
            if key is None:  # a bare word
                continue
            words.append(key["const"])
            if key["const"] != self.default:
                options[index] = {"allOf": [option, {"required": [self.key]}]}
        return {"anyOf": [{"enum": words}, *options]}

    def in_full(self, value: Any) -> Any:
        """The mapping that `value` is short for; anything else as it is."""
        if isinstance(value, str):
            return value if value in self.bare else {self.key: value}
        if isinstance(value, Mapping) and self.default is not None and self.key not in value:
            return {self.key: self.default, **value}
        return value
