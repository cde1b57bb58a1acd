"""The language filter."""

import pytest

from broker.core.entity.view import View, view
from broker.core.errors import BadRequestData
from broker.core.lang.natural import choose, parse
from tests.core.documents import CORE, created

pytestmark = pytest.mark.clause("4.15")


@pytest.mark.parametrize(
    ("text", "languages", "chosen"),
    [
        ("fr", ["nl", "fr"], "fr"),
        ("FR", ["nl", "fr"], "fr"),
        ("fr", ["nl", "FR"], "FR"),
        ("fr-CH,fr", ["en", "fr"], "fr"),
        ("fr;q=0.2, nl;q=0.9", ["fr", "nl"], "nl"),
        ("fr-CH,fr;q=0.9,en;q=0.8,*;q=0.5", ["nl", "en"], "en"),
        ("nl-BE", ["fr", "nl"], "nl"),
        ("zh-Hant-x-a", ["zh", "zh-Hant"], "zh-Hant"),
        ("en", ["de", "en-US"], "en-US"),
        ("en", ["de", "english"], "de"),
        ("pt", ["fr", "nl"], "fr"),
        ("pt", ["fr", "@none"], "@none"),
        ("pt", ["fr", "en", "@none"], "@none"),
        ("pt", ["fr", "EN"], "EN"),
        ("pt", ["fr", "en-GB"], "en-GB"),
        ("pt", ["fr", "english"], "fr"),
        ("*", ["fr", "en"], "en"),
        ("*,fr", ["fr", "en"], "en"),
        ("*", ["fr", "nl"], "fr"),
        ("*,nl;q=0.1", ["fr", "nl"], "fr"),
        ("nl;q=0", ["fr", "nl"], "fr"),
    ],
)
def test_the_language_that_suits_best_is_chosen(text: str, languages: list[str], chosen: str) -> None:
    assert choose(parse(text), languages) == chosen


@pytest.mark.parametrize(
    "text", ["", "fr,", "fr;q=2.5", "fr;q=x", "f r", "fr_CH", "toolonglanguage", "en," * 60 + "en"]
)
def test_what_names_no_languages_is_refused(text: str) -> None:
    with pytest.raises(BadRequestData, match="lang"):
        parse(text)


def test_a_language_property_is_shown_as_a_property() -> None:
    words = {"type": "LanguageProperty", "languageMap": {"en": "heat", "fr": ["chaleur", "chaud"]}}
    entity = created(a={**words, "note": words})
    shown = view(entity, CORE, View(languages=("fr",)))["a"]
    inner = {"type": "Property", "value": ["chaleur", "chaud"], "lang": "fr"}
    assert shown == {**inner, "note": inner}
    assert view(entity, CORE, View("simplified", languages=("en",)))["a"] == "heat"
    assert view(entity, CORE, View("concise", languages=("en",)))["a"]["value"] == "heat"


def test_a_million_tags_are_given_up_at_once() -> None:
    with pytest.raises(BadRequestData, match="at most"):
        parse("a," * 500_000)
