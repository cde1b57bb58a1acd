"""Queries as sources are sent them: what they read is what was asked, in any names, in a URL or a body."""

from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.api.params import read_params, read_selection
from broker.core.federation.origin import Origin
from broker.core.federation.wire import request
from broker.core.jsonld.context import Context
from broker.core.query import Query
from broker.core.query_body import parameters, query_body
from broker.ports.broker import Limits
from tests.core.documents import CONTEXTS
from tests.core.federation.steps import step
from tests.core.lang import some

pytestmark = pytest.mark.clause("4.3.6.7")

LIMITS = Limits(1024, 10, 10, 20, 1000, 10, 10, None)


def conditions(query: Query) -> dict[str, Any]:
    return {name: getattr(query, name) for name in Query.__slots__ if name != "__weakref__"}


def random_query(r: Random) -> Query:
    types = some.full_query(r).types
    distinct = None if types is None else replace(types, any_of=tuple(dict.fromkeys(types.any_of)))
    query = some.full_query(r)
    return replace(
        query,
        types=distinct,
        id_pattern=None if query.ids else query.id_pattern,  # ids come before it
        geo=some.geo_query(r) if r.random() < 0.3 else None,
        limit=r.choice((1, 20, 1000)),
        offset=r.choice((0, 5)),
        count=r.random() < 0.5,
    )


@given(st.randoms(use_true_random=False), st.sampled_from(CONTEXTS))
def test_in_a_url(r: Random, names: Context) -> None:
    query = random_query(r)
    made = request(step("queryEntity", query=query), Origin(""), "me", names)
    params = read_params(urlsplit(made.url).query)
    assert params.pop("options") == "sysAttrs"
    assert conditions(read_selection(params, names, LIMITS)) == conditions(query)


@given(st.randoms(use_true_random=False), st.sampled_from(CONTEXTS))
def test_in_a_body(r: Random, names: Context) -> None:
    query = random_query(r)
    if query.types is None:
        query = replace(query, ids=(), id_pattern=None)  # an entity selector has a type
    made = request(step("queryBatch", query=query), Origin(""), "me", names)
    params = parameters(query_body(orjson.loads(made.body or b""))) | read_params(urlsplit(made.url).query)
    assert params.pop("options") == "sysAttrs"
    assert conditions(read_selection(params, names, LIMITS)) == conditions(query)
