"""OpenAPI document of an application, assembled from the descriptions of its views.

It is OpenAPI 3.2, which describes streams event by event (``itemSchema``). ``document.toml`` has the parts that do not
depend on the routes.
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import msgspec
from flask import Flask

from persona_stream import __version__
from persona_stream.core import sse
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.native.schemas import ErrorFrame
from persona_stream.web.openapi import components, spec

JsonObject = dict[str, Any]

_ERROR_EVENT = spec.EventStreamSpec(
    name="ErrorEvent",
    description="Only event of an error response. It has no `id`, because it belongs to no run.",
    data=(ErrorFrame,),
)
_REF = "#/components/schemas/{name}"


def build_document(app: Flask, prefix: str = "") -> JsonObject:
    """Return the OpenAPI document of an application below this path; views without a description are left out."""
    routes = list(_routes(app))
    operations = [operation for _, _, operation in routes]
    schemas = _Schemas(operations)
    writer = _Writer(schemas)
    paths: JsonObject = {}
    for path, method, operation in routes:
        paths.setdefault(path, {})[method] = writer.operation(operation)
    tags = dict.fromkeys(tag for operation in operations for tag in operation.tags)
    errors = dict(sorted(writer.errors.items()))
    base = tomllib.loads(resources.files(__package__).joinpath("document.toml").read_text("utf-8"))
    return {
        **base,
        "info": {**base["info"], "version": __version__},
        "servers": [{**base["servers"][0], "url": prefix or "/"}],
        "tags": [msgspec.to_builtins(tag) for tag in tags],
        "paths": paths,
        "components": {"schemas": schemas.components, "responses": errors, **base["components"]},
    }


def _routes(app: Flask) -> Iterable[tuple[str, str, spec.Operation]]:
    """Yield the path, the method in lower case, and the description of each view that has one."""
    for rule in app.url_map.iter_rules():
        operation = spec.operation_of(app.view_functions[rule.endpoint])
        if operation is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield path, method.lower(), operation


class _Schemas:
    """Component schemas of all types that the operations use."""

    def __init__(self, operations: Sequence[spec.Operation]) -> None:
        requests = [each.request for each in operations if each.request]
        responses = [body for each in operations for response in each.responses.values() for body in response.bodies]
        streams = dict.fromkeys([stream for body in responses for stream in body.events] + [_ERROR_EVENT])
        errors = [type(encode(ErrorInfo(400, "", ""))) for operation in operations for encode in operation.error_bodies]
        read = [kind for body in requests for kind in body.schema]
        written = [kind for body in responses for kind in body.schema]
        written += errors + [kind for stream in streams for kind in stream.data]
        self.components: JsonObject = msgspec.json.schema_components([*read, *written], ref_template=_REF)[1]
        names_read = msgspec.json.schema_components(read)[1].keys()
        for name, schema in self.components.items():
            _complete(schema, is_read=name in names_read)
        for body in requests:
            if body.refine is not None:
                body.refine(self.components[body.schema[0].__name__])
        for stream in streams:
            self.components[stream.name] = self._event(stream)

    def of(self, body: spec.Body) -> JsonObject:
        """Return the schema of a body."""
        kinds = body.schema
        return _one_of([_ref(kind.__name__) if issubclass(kind, msgspec.Struct) else _inline(kind) for kind in kinds])

    def _event(self, stream: spec.EventStreamSpec) -> JsonObject:
        names = [kind.__name__ for kind in stream.data]
        content = _one_of([_ref(name) for name in names])
        description = f"One line of JSON: {' or '.join(f'`{name}`' for name in names)}."
        values: dict[str, str] = {}
        if stream.discriminator is not None:
            for name in names:
                tag = self.components[name]["properties"][stream.discriminator]
                values |= dict.fromkeys(tag.get("enum") or [tag["const"]], name)
            mapping = {value: _ref(name)["$ref"] for value, name in values.items()}
            content["discriminator"] = {"propertyName": stream.discriminator, "mapping": mapping}
            # Pages that do not render the schema of JSON within a string show this list.
            rows = [f"- `{value}` (`{name}`): {self.components[name]['description']}" for value, name in values.items()]
            description = "\n".join([f"One line of JSON. Its `{stream.discriminator}` is its type:", "", *rows])
        data: JsonObject = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
        if stream.end is not None:
            data = {"anyOf": [{"const": stream.end}, data]}
            description += f" The last event is `{stream.end}`, which is not JSON."
        properties: JsonObject = {}
        if stream.has_id:
            properties["id"] = {
                "type": "string",
                "pattern": r"^[^/]+/[0-9]+\.[0-9]+$",
                "description": "Position in the stream, to be sent as `Last-Event-ID`. Progress does not move it.",
            }
        if stream.has_type:
            # A last event that is not JSON has no type, which counts as this one.
            names = [*values, *(("message",) if stream.end is not None else ())]
            properties["event"] = {"type": "string", "enum": names, "description": "Type of the event."}
        properties["data"] = {"description": description, **data}
        required = [name for name in properties if name != "event" or stream.end is None]
        return {"type": "object", "description": stream.description, "properties": properties, "required": required}


class _Writer:
    """Encoder of operations; collects the error responses that they refer to in ``errors``."""

    def __init__(self, schemas: _Schemas) -> None:
        self.errors: JsonObject = {}
        self._schemas = schemas

    def operation(self, operation: spec.Operation) -> JsonObject:
        """Return the Operation Object of a route."""
        tags = [tag.name for tag in operation.tags]
        written: JsonObject = {"operationId": operation.id, "tags": tags, "summary": operation.summary}
        if operation.description:
            written["description"] = operation.description
        if operation.security != ("bearer",):
            written["security"] = [{name: []} if name else {} for name in operation.security]
        if operation.parameters:
            parameters = operation.parameters
            written["parameters"] = [
                {"name": each.name, "in": each.location, **_parameter(each)} for each in parameters
            ]
        if operation.request is not None:
            written["requestBody"] = {"required": True, "content": self._content([operation.request])}
        is_stream = any(body.events for response in operation.responses.values() for body in response.bodies)
        responses = {error.error.status: self._error(error, operation, is_stream) for error in operation.errors}
        responses |= {status: self._response(response) for status, response in operation.responses.items()}
        written["responses"] = {str(status): responses[status] for status in sorted(responses)}
        return written

    def _response(self, response: spec.ResponseSpec) -> JsonObject:
        written: JsonObject = {"description": response.description}
        if response.headers:
            written["headers"] = {header.name: _parameter(header) for header in response.headers}
        if response.bodies:
            written["content"] = self._content(response.bodies)
        if response.links:
            written["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in response.links}
        return written

    def _content(self, bodies: Iterable[spec.Body]) -> JsonObject:
        return {body.media_type: self._media_type(body) for body in bodies}

    def _media_type(self, body: spec.Body) -> JsonObject:
        examples = {name: _example(example) for name, example in body.examples.items()}
        if body.events:
            return {
                "itemSchema": _one_of([_ref(stream.name) for stream in body.events], "anyOf"),
                "examples": {name: {"serializedValue": example} for name, example in examples.items()},
            }
        written: JsonObject = {"schema": self._schemas.of(body)}
        if len(examples) == 1:
            written["example"] = next(iter(examples.values()))
        elif examples:
            written["examples"] = {name: {"dataValue": example} for name, example in examples.items()}
        return written

    def _error(self, error: spec.ErrorSpec, operation: spec.Operation, is_stream: bool) -> JsonObject:
        """Return a reference to an error in the form that this operation has for it."""
        info = ErrorInfo(error.error.status, error.error.code, error.error.message, error.error.field)
        examples = {type(body).__name__: body for body in (encode(info) for encode in operation.error_bodies)}
        contents = [spec.Body(schema=[type(body) for body in examples.values()], examples=examples)]
        name = error.name or type(error.error).__name__
        if examples.keys() != {ErrorFrame.__name__}:
            name += "As" + "Or".join(examples)
        elif is_stream:
            name += "AsEvent"
            event = sse.encode(sse.ServerSentEvent(dump_json(examples[ErrorFrame.__name__]))).decode()
            contents.insert(0, spec.Body.stream(_ERROR_EVENT, error=event))
        if name not in self.errors:
            headers = [components.ERROR_HEADERS[header] for header in error.error.headers]
            self.errors[name] = self._response(spec.ResponseSpec(error.description, contents, headers))
        return {"$ref": f"#/components/responses/{name}"}


def _parameter(parameter: spec.Parameter) -> JsonObject:
    """Return the fields that parameters and headers have in common."""
    schema = _inline(parameter.type)
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default is not None:
        schema["default"] = parameter.default
    written: JsonObject = {"description": parameter.description, "schema": schema}
    if parameter.required:
        written["required"] = True
    if parameter.example is not None:
        written["example"] = parameter.example
    return written


def _inline(kind: Any) -> JsonObject:
    schema: JsonObject = msgspec.json.schema(kind)
    _name_constants(schema)
    return schema


def _one_of(schemas: Sequence[JsonObject], keyword: str = "oneOf") -> JsonObject:
    return schemas[0] if len(schemas) == 1 else {keyword: schemas}


def _ref(name: str) -> JsonObject:
    return {"$ref": _REF.format(name=name)}


def _example(example: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(example() if callable(example) else example))


def _complete(schema: JsonObject, *, is_read: bool) -> None:
    """Adapt the schema of a Struct to its use.

    A field with a default is optional in a request, where ``null`` means the same; in a response it is always present.
    """
    properties = schema["properties"]
    if not is_read:
        required = schema.get("required", ())
        schema["required"] = [name for name, node in properties.items() if name in required or "default" in node]
    for node in properties.values():
        node.pop("default", None)
        _name_constants(node)
        if "const" in node:  # the tag of a Struct cannot carry a description of its own
            node.setdefault("description", f"Always `{node['const']}`.")


def _name_constants(node: JsonObject) -> None:
    """Add the type of an enumeration, and write one with a single value as a constant."""
    for choice in (node, *node.get("anyOf", ())):
        values = choice.get("enum", ())
        if values:
            choice["type"] = {bool: "boolean", int: "integer", str: "string"}[type(values[0])]
        if len(values) == 1:
            choice["const"] = choice.pop("enum")[0]
