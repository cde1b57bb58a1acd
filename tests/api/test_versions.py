"""`Prefer: ngsi-ld=…`: answers for clients of older versions of the specification."""

import pytest

from tests.api.conftest import Api, room

TONGUE = {"type": "LanguageProperty", "languageMap": {"en": "hot"}}
GEO_JSON = "application/geo+json"
PAST = "temporal/entities"
OLD = {"Prefer": "ngsi-ld=1.0"}


@pytest.fixture
async def hot(api: Api) -> Api:
    """A tenant with one entity that is not of version 1.3."""
    await api.make(room(heat=TONGUE, scope="/a"))
    return api


@pytest.mark.clause("4.3.6.8")
@pytest.mark.parametrize(
    "path",
    [
        "entities/urn:x:1",
        "entities/urn:x:1?type=T",
        "entities?type=T",
        f"{PAST}/urn:x:1",
        f"{PAST}?type=T&timerel=after&timeAt=2020-01-01T00:00:00Z&timeproperty=createdAt",
    ],
)
async def test_entities_are_shown_as_the_version_has_them(hot: Api, path: str) -> None:
    usual = await hot("GET", path)
    assert (usual.status, usual.headers.get("Preference-Applied")) == (200, None)
    for _ in range(2):
        older = await hot("GET", path, headers={"Prefer": "ngsi-ld=1.3"})
        assert (older.status, older.headers["Preference-Applied"]) == (203, "ngsi-ld=1.3")
        assert b"languageMap" not in older.body
        assert b"scope" not in older.body
        assert b'"type":"Property"' in older.body
        assert b'"value":{"en":"hot"}' in older.body
    assert older.headers["Link"] == usual.headers["Link"]
    for same in ("ngsi-ld=1.4", "ngsi-ld=1.9"):
        answer = await hot("GET", path, headers={"Prefer": same})
        assert (answer.status, answer.headers["Preference-Applied"]) == (200, same)
        assert answer.body == usual.body
    assert (await hot("GET", path)).body == usual.body


@pytest.mark.clause("4.3.6.8")
async def test_what_makes_no_difference_in_what_is_shown_is_no_203(api: Api) -> None:
    await api.make({**room(heat={"value": 1, "observedAt": "2026-07-01T12:00:00Z"})})
    simplified = await api("GET", "entities/urn:x:1?format=simplified", headers=OLD)
    assert (simplified.status, simplified.headers["Preference-Applied"]) == (200, "ngsi-ld=1.0")
    assert (await api("GET", "entities/urn:x:1", headers=OLD)).status == 203


@pytest.mark.clause("4.5.23")
@pytest.mark.parametrize("join", ["inline", "flat"])
async def test_linked_entities_follow_too(hot: Api, join: str) -> None:
    many = [{"object": "urn:x:1"}, {"object": "urn:x:1", "datasetId": "urn:d:1"}]
    await hot.make({"id": "urn:x:2", "type": "U", "in": many})
    for path in ("entities/urn:x:2", "entities?type=U"):
        answer = await hot("GET", f"{path}{'&' if '?' in path else '?'}join={join}", headers=OLD)
        assert answer.status == 203
        assert b'"value":{"en":"hot"}' in answer.body
        for unknown in (b"languageMap", b"scope", b"datasetId"):
            assert unknown not in answer.body


@pytest.mark.clause("6.3.6")
async def test_geojson_follows_too(hot: Api) -> None:
    headers = {"Prefer": "body=json, ngsi-ld=1.3", "Accept": GEO_JSON}
    for path in ("entities/urn:x:1", "entities?type=T"):
        answer = await hot("GET", path, headers=headers)
        assert (answer.status, answer.headers["Preference-Applied"]) == (203, "ngsi-ld=1.3")
        assert b"@context" not in answer.body
        assert b"languageMap" not in answer.body


@pytest.mark.clause("6.3.6")
@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("NGSI-LD=1.0", "ngsi-ld=1.0"),
        ('ngsi-ld="1.0"', "ngsi-ld=1.0"),
        ("ngsi-ld=1.0;q=0.1", "ngsi-ld=1.0"),
        ("ngsi-ld = 1.0 ; a=\"b, ngsi-ld=1.5\"", "ngsi-ld=1.0"),
        ("respond-async, ngsi-ld=1.0", "ngsi-ld=1.0"),
        ('a="x, ngsi-ld=1.5", ngsi-ld=1.0, ngsi-ld=1.7', "ngsi-ld=1.0"),
        ("ngsi-ld=1.10", "ngsi-ld=1.9"),
        ("ngsi-ld=0.1", "ngsi-ld=1.0"),
        ("respond-async", None),
        ("ngsi-ld", None),
        ("ngsi-ld=new", None),
        ('ngsi-ld="', None),
        (",;=", None),
    ],
)  # fmt: skip
async def test_the_preference_is_read_as_http_writes_it(hot: Api, prefer: str, applied: str | None) -> None:
    answer = await hot("GET", "entities/urn:x:1", headers={"Prefer": prefer})
    assert answer.headers.get("Preference-Applied") == applied
    assert answer.status == (203 if applied == "ngsi-ld=1.0" else 200)


@pytest.mark.clause("4.3.6.8")
async def test_subscriptions_have_no_older_form(api: Api) -> None:
    made = await api(
        "POST",
        "subscriptions",
        {
            "type": "Subscription",
            "entities": [{"type": "T"}],
            "notification": {"attributes": ["heat"], "endpoint": {"uri": "http://127.0.0.1:1/x"}},
        },
    )
    path = made.headers["Location"]
    older = await api("GET", path, headers=OLD)
    assert (older.status, older.headers["Preference-Applied"]) == (200, "ngsi-ld=1.0")
    assert older.doc == await api.get(path)
    listed = await api("GET", "subscriptions", headers=OLD)
    assert (listed.status, listed.headers["Preference-Applied"]) == (200, "ngsi-ld=1.0")


@pytest.mark.clause("6.3.6")
async def test_errors_and_answers_without_a_body_apply_no_version(hot: Api) -> None:
    for method, path in (("GET", "entities/urn:x:2"), ("DELETE", "entities/urn:x:1")):
        answer = await hot(method, path, headers=OLD)
        assert "Preference-Applied" not in answer.headers
