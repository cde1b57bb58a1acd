"""Settings: defaults, bounds, and the way to a worker and back."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from broker.config import SECTIONS, Settings, complaints, variable


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BROKER_")]:
        monkeypatch.delenv(name)


def test_defaults_need_no_environment() -> None:
    settings = Settings()
    assert (settings.port, settings.workers, settings.mongo_uri) == (1026, 1, None)
    assert settings.data_dir == Path.home() / ".local/share/eridanus"


def test_every_setting_is_described_and_bounded() -> None:
    schema = Settings.model_json_schema()["properties"]
    for name, field in schema.items():
        assert field["description"].endswith("."), name
        kinds = field.get("anyOf", [field])
        for kind in (k for k in kinds if k.get("type") in ("integer", "number")):
            assert {"minimum", "exclusiveMinimum"} & set(kind), name
            assert "maximum" in kind, name


def test_sections_name_fields() -> None:
    assert set(SECTIONS) <= set(Settings.model_fields)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"mongo_uri": "mongodb://a:b@c/?replicaSet=d", "transaction_lifetime": None, "access_log": True},
        {"egress_private": False, "egress_allow": ("a.example", "::1"), "egress_deny": ("10.0.0.0/8",)},
        {"context_allowed_hosts": ("a.example", "b.example"), "mongod": "/opt/mongod", "query_timeout": 0.5},
    ],
)
def test_a_worker_reads_the_settings_of_its_parent(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(**given)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_flags_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("port"), "2000")
    assert Settings().port == 2000
    assert Settings(port=3000).port == 3000


def test_unknown_variables_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_OF_SOMEONE_ELSE", "1")
    monkeypatch.setenv("BROKER_PORT", "")
    assert Settings().port == 1026


def test_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_CONTEXT_ALLOWED_HOSTS", "a.example, b.example,")
    assert Settings().context_allowed_hosts == ("a.example", "b.example")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


def test_the_uri_is_not_shown() -> None:
    assert "secret" not in repr(Settings(mongo_uri="mongodb://a:secret@b/"))  # type: ignore[arg-type]


def test_processes_have_names_of_their_own() -> None:
    assert Settings().process_id != Settings().process_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", 65_536),
        ("workers", 0),
        ("database", "a/b"),
        ("log_level", "loud"),
        ("queue_limit", -1),
        ("process_lease", 0),
        ("process_id", "me"),
        ("egress_deny", "valve.example"),
        ("egress_deny", "10.1.2.3/8"),
        ("egress_allow", "http://valve.example"),
    ],
)
def test_a_wrong_value_is_explained_in_one_line(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**{field: value})  # type: ignore[arg-type]
    (line,) = complaints(caught.value)
    assert line.startswith(f"--{field.replace('_', '-')} ({variable(field)}) ")
    assert "\n" not in line
