"""specs/openapi.yaml is true: it has the paths, methods and parameters that the broker has, and no others."""

from collections.abc import Collection, Iterator
from importlib.metadata import version
from typing import Any, cast

import pytest
import yaml
from openapi_spec_validator import validate

from broker.api import params
from broker.api.call import Call
from broker.api.openapi import document
from broker.api.routes import ROUTES, Handler, allowed
from tests.api.conftest import Api

DOCUMENT: dict[str, Any] = yaml.safe_load(document())
OPERATIONS = [
    pytest.param(resource.template, method, id=f"{method} {resource.template}")
    for resource in ROUTES
    for method in allowed(resource).split(", ")
    if "ngsi-ld" in resource.template
]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """The node, or the one that it refers to."""
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return cast(dict[str, Any], found)


def parameters(path: str, method: str) -> Iterator[dict[str, Any]]:
    """The parameters of an operation, those of its path among them."""
    item = DOCUMENT["paths"][path]
    for node in [*item.get("parameters", ()), *item[method.lower()].get("parameters", ())]:
        yield resolved(node)


def names(path: str, method: str, place: str) -> list[str]:
    """The names of an operation's parameters that stand there: in path, query or header."""
    return [one["name"] for one in parameters(path, method) if one["in"] == place]


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of the document, with its method."""
    for item in DOCUMENT["paths"].values():
        yield from ((name, one) for name, one in item.items() if name != "parameters")


def references(node: Any) -> Iterator[str]:
    """Every reference in the document."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else ())
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_it_is_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_it_is_of_this_version() -> None:
    assert DOCUMENT["info"]["version"] == version("eridanus")


def test_every_route_is_described_and_nothing_else() -> None:
    described = {
        path: {method.upper() for method in item if method != "parameters"}
        for path, item in DOCUMENT["paths"].items()
    }
    assert described == {one.template: set(allowed(one).split(", ")) for one in ROUTES}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_variables_and_headers_are_described(path: str, method: str) -> None:
    variables = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    assert names(path, method, "path") == variables
    assert (
        {"NGSILD-Tenant", "Link"} <= set(names(path, method, "header")) <= {"NGSILD-Tenant", "Link", "Prefer"}
    )


@pytest.mark.clause("6.3.20")
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_query_parameters_are_those_that_the_handler_takes(
    path: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await query_parameters(handler(path, method), monkeypatch)
    described = names(path, method, "query")
    assert len(described) == len(set(described))
    assert set(described) == taken


def handler(path: str, method: str) -> Handler:
    """The handler of an operation."""
    return next(one for one in ROUTES if one.template == path).methods[method]


class Asked(Exception):
    """Ends a handler where it has said which parameters it takes."""

    def __init__(self, known: set[str]) -> None:
        self.known = known


async def query_parameters(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What the handler allows, which it does before anything else."""

    def allow(_: params.Params, *known: Collection[str]) -> None:
        raise Asked({params.LOCAL}.union(*known))

    monkeypatch.setattr(params, "allow", allow)
    with pytest.raises(Asked) as asked:
        await handler(Call(cast(Any, None), cast(Any, None), (), {}, ""))
    return asked.value.known


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_a_body_is_described_where_there_is_one(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method.lower()]
    assert ("requestBody" in operation) == (method in ("POST", "PUT", "PATCH"))
    if "requestBody" in operation:
        medias = resolved(operation["requestBody"])["content"].keys()
        merge = {"application/merge-patch+json"} if method == "PATCH" else set()
        assert medias == {"application/json", "application/ld+json"} | merge
        assert {"400", "411", "413", "415"} <= operation["responses"].keys()


def test_components_are_there_to_be_used() -> None:
    used = set(references(DOCUMENT))
    for group, members in DOCUMENT["components"].items():
        for name in members:
            assert f"#/components/{group}/{name}" in used


def test_operations_have_names_of_their_own() -> None:
    found = [operation["operationId"] for _, operation in operations()]
    assert len(found) == len(set(found))


async def test_it_is_served(api: Api) -> None:
    answer = await api("GET", "/openapi.yaml")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/yaml")
    assert yaml.safe_load(answer.body) == DOCUMENT
    assert (await api("GET", "/openapi.json")).is_problem(404, "ResourceNotFound")
