"""Schemathesis: what specs/openapi.yaml allows and what it does not, and whether answers are as it says."""

import asyncio
from typing import Any

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from broker.api.openapi import document
from broker.core import Json
from tests.api.conftest import CORE_URL, linked
from tests.fuzz.wire import SECONDS, Reply, check

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]
SCHEMA = schemathesis.openapi.from_dict(yaml.safe_load(document()))
CASES = [
    pytest.param(operation, mode, id=f"{operation.label}-{mode.value}")
    for operation in (one.ok() for one in SCHEMA.get_all_operations() if isinstance(one, Ok))
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "ngsi-ld" in operation.path  # the others have nothing to get wrong
]
CHECKS: list[Any] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REFUSALS = ("not a parameter of this operation", "is none of")


@pytest.mark.parametrize(("operation", "mode"), CASES)
async def test_answers_are_as_the_document_says(
    operation: Operation, mode: GenerationMode, broker_url: str, owner: str, sink: str
) -> None:
    await asyncio.to_thread(fuzz, operation, mode, 3, broker_url, owner, sink)


def fuzz(operation: Operation, mode: GenerationMode, count: int, root: str, tenant: str, sink: str) -> None:
    """So many requests that the document allows, or that it does not."""
    with requests.Session() as session:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=count,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        def run(case: AnyCase) -> None:
            tame(case, tenant, sink)
            response = case.call(base_url=root, session=session, timeout=SECONDS)
            headers = {name.lower(): value[0] for name, value in response.headers.items()}
            check(case.method, Reply(response.status_code, headers, response.content))
            case.validate_response(response, checks=CHECKS)
            if mode is GenerationMode.POSITIVE and response.status_code == 400:
                assert not any(one in response.json()["detail"] for one in REFUSALS)

        run()


def tame(case: AnyCase, tenant: str, sink: str) -> None:
    """Keeps a request to one tenant, and the broker, which fetches what it is told to, to this machine."""
    if "ngsi-ld" in case.path:
        case.headers["NGSILD-Tenant"] = tenant
    if "http" in str(case.headers.get("Link")):
        case.headers.update(linked(CORE_URL))
    case.body = tamed(case.body, sink)


def tamed(body: Json, sink: str) -> Json:
    """A body without the URLs of strangers."""
    if isinstance(body, list):
        return [tamed(one, sink) for one in body]
    if not isinstance(body, dict):
        return body
    return {name: _tamed_member(name, value, sink) for name, value in body.items()}


def _tamed_member(name: str, value: Json, sink: str) -> Json:
    if name == "uri" and isinstance(value, str):
        return sink + value if value.startswith("http") else value
    if name in ("@context", "jsonldContext", "@import"):
        return value if isinstance(value, dict) and "@import" not in value else CORE_URL
    return tamed(value, sink)
