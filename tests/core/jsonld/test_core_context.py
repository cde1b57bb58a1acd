"""The built-in core @context."""

import pytest

from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD, core_context, is_core
from tests.core.documents import CORE

ROOT = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context"


@pytest.mark.clause("4.4")
@pytest.mark.parametrize("end", ["", *(f"-v1.{n}" for n in range(10))])
def test_every_published_url_is_the_core(end: str) -> None:
    assert is_core(f"{ROOT}{end}.jsonld")
    assert is_core(f"{ROOT}{end}.jsonld".replace("https", "http"))


@pytest.mark.parametrize(
    "url",
    [f"{ROOT}-v1.9.jsonld?x", f"{ROOT}-v1.9.json", f"{ROOT}-v1x9.jsonld", "", None, [ROOT + ".jsonld"], {}],
)
def test_nothing_else_is_the_core(url: object) -> None:
    assert not is_core(url)


@pytest.mark.clause("B")
@pytest.mark.parametrize(
    ("term", "iri"),
    [
        ("Property", NGSI_LD + "Property"),
        ("value", NGSI_LD + "hasValue"),
        ("observedAt", NGSI_LD + "observedAt"),
        ("location", NGSI_LD + "location"),
        ("coordinates", "https://purl.org/geojson/vocab#coordinates"),
        ("description", "http://purl.org/dc/terms/description"),
        ("datasetId", NGSI_LD + "datasetId"),
        ("Vehicle", DEFAULT_VOCAB + "Vehicle"),
    ],
)
def test_terms_of_the_core(term: str, iri: str) -> None:
    assert CORE.expand(term) == iri
    assert CORE.compact(iri) == term


def test_no_core_term_is_lost_in_compaction() -> None:
    words = {term for term in core_context() if not term.startswith("@")} - {
        "id",
        "type",
        "ngsi-ld",
        "geojson",
    }
    for term in words:
        assert CORE.compact(CORE.expand(term)) == term
