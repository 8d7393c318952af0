"""The routes as OpenAPI 3.1: written from the same table and the same types that the gateway works by."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.routes import Route

_PARAMETER = re.compile(r"{(\w+)(?::(\w+))?}")
_WHOLE = {"type": "integer", "format": "int64", "minimum": 0}
_PROBLEMS = {
    400: "The request is wrong.",
    401: "A token is needed.",
    403: "The token has no such right.",
    429: "Too many requests.",
    503: "A server behind the gateway does not answer.",
}


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The description of *routes*."""
    kinds = {kind for route in routes for kind in (route.takes, route.gives) if kind is not None}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route)
    problem = {
        "type": "object",
        "properties": {
            name: {"type": kind}
            for name, kind in (("title", "string"), ("status", "integer"), ("detail", "string"), ("reason", "string"))
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Catseye", "version": "1", "description": "Frames and labels in, what came of them out."},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": problem},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _WHOLE if kind == "int" else {"type": "string"}}
        for name, kind in _PARAMETER.findall(route.path)
    ]
    in_query = [
        {"name": name, "in": "query", "required": False, "description": meaning, "schema": {"type": "string"}}
        for name, meaning in route.query.items()
    ]
    in_header = [
        {"name": name, "in": "header", "required": False, "description": meaning, "schema": {"type": "string"}}
        for name, meaning in route.headers.items()
    ]
    answer: dict[str, Any] = {"schema": _ref(route.gives)} if route.gives else {}
    operation: dict[str, Any] = {
        "operationId": route.handle.__name__,
        "summary": route.summary,
        "description": f"Needs the scope `{route.scope}`.",
        "parameters": [*in_path, *in_query, *in_header],
        "responses": {
            str(route.status): {"description": route.summary, "content": {route.answers: answer}},
            **{
                str(status): {
                    "description": meaning,
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status, meaning in _PROBLEMS.items()
            },
        },
    }
    if route.takes is not None:
        content: dict[str, Any] = {"application/json": {"schema": _ref(route.takes)}}
        content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in route.media}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
