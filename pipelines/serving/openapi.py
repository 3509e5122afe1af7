"""The API's description, made from the declarations: what each route takes and answers, OpenAPI 3.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.serving.answers import response_type
from pipelines.serving.events import Events, Receipt
from pipelines.serving.http import BODY
from pipelines.serving.schema import BATCH, Asks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.core.contract import Contract
    from pipelines.core.decision import Answers

RULES = (
    f"JSON in UTF-8 only, at most {BODY} bytes and {BATCH} rows a request. Unknown fields, wrong types and values out of bounds "
    "are refused with 422 and never echoed. Of a key that comes twice the last counts. Money is integer cents. "
    "`degraded` says that something was away while it was answered, `reasons` what: `state` (a newer release may exist), "
    "`release` (a newer release does not load), `features` (answered without counted features), `behind` "
    "(counted features lack events of a minute ago or more; is the stream running?), `score` (no finite score, the typical one "
    "was used), `log` (predictions wait in the spool), `spool` (this answer is not written down yet)."
)
REFUSALS = {
    "400": "no JSON in UTF-8", "401": "no token that holds", "408": "the body came too slowly", "413": "the body is too large",
    "415": "not application/json", "421": "another host's name", "422": "not what the contract says",
    "503": "no release yet, too many requests, or nothing to answer from; Retry-After says when to come again",
}  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """What a use case says of itself: the page's question, which event asks, what is answered."""

    question: str
    asks: Contract
    answers: Answers


def describe(cases: Mapping[str, Declared]) -> dict[str, Any]:
    """The OpenAPI document of these use cases."""
    types: dict[str, tuple[type, type]] = {
        case: (Asks(case, told.asks).request, response_type(case, told.answers)) for case, told in cases.items()
    }
    flat = [each for pair in types.values() for each in pair]
    _, schemas = msgspec.json.schema_components([*flat, Events, Receipt], ref_template="#/components/schemas/{name}")
    paths = {f"/v1/{case}": _post(told.question, *types[case]) for case, told in cases.items()}
    paths["/v1/events"] = _post("Send the shop's events and labels.", Events, Receipt, token=True)
    paths |= {path: _get(text) for path, text in _READ.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shelflife", "version": "1", "description": RULES},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Refusal": _REFUSAL},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_READ = {
    "/healthz": "Whether the process lives, and whether the monitor has looked lately (fresh, stale, never, unknown).",
    "/readyz": "Which release answers each use case, and what is away.",
    "/openapi.json": "This description.",
    "/console": "A page for people: what answers, since when, why.",
}
_REFUSAL = {
    "type": "object", "required": ["problems"], "properties": {"problems": {"type": "array", "items": {"type": "string"}}},
}  # fmt: skip


def _post(text: str, asks: type, answers: type, *, token: bool = False) -> dict[str, Any]:
    refused = {status: {"description": why, "content": _content("Refusal")} for status, why in REFUSALS.items()}
    told = {
        "summary": text,
        "requestBody": {"required": True, "content": _content(asks.__name__)},
        "responses": {"200": {"description": "answered", "content": _content(answers.__name__)}, **refused},
    }
    return {"post": told | ({"security": [{"token": []}]} if token else {})}


def _get(text: str) -> dict[str, Any]:
    return {"get": {"summary": text, "responses": {"200": {"description": "answered"}}}}


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
