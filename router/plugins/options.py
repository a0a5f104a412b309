"""The keywords of a plug-in in; its router and the options of each call, checked, out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from router.call_options import CallOptions
from router.core import Router
from router.options import DIALS


class RouterFields(BaseModel):
    """The fields of a plug-in that is a pydantic model. Keywords that name no field become `options`.

    Attributes:
        router: Makes the calls.
        options: Options of `Router.complete` as defaults.

    Raises:
        InputError: If an option is unknown or out of range.
    """

    # Options may hold a key, such as one in `extra_headers`.
    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    router: Router = Field(exclude=True)
    options: dict[str, Any] = Field(default_factory=dict, repr=False, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _collect_options(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        fields = {name: value for name, value in values.items() if name in cls.model_fields}
        options = {**fields.get("options", {}), **{name: value for name, value in values.items() if name not in fields}}
        if isinstance(router := fields.get("router"), Router):
            router.decider.check(CallOptions.of(options, stream=False, defaults=router.defaults).route)
        return {**fields, "options": options}

    def _merge_options(self, keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of one call. A dial in the call replaces the default's dial and its confidence."""
        replaced = {*DIALS, "confidence"} if not keywords.keys().isdisjoint(DIALS) else frozenset()
        return {**{name: value for name, value in self.options.items() if name not in replaced}, **keywords}
