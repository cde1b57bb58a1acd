"""The glossary and the code hold together: owners exist, and retired words do not come back as names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = (ROOT / "specs" / "glossary.md").read_text()
_ROW = re.compile(r"^\| (?P<term>[^|]+) \| (?P<meaning>[^|]+) \| `(?P<owner>[^`]+)` \|", re.MULTILINE)
TERMS = {row["term"].strip(): (row["meaning"].strip(), row["owner"]) for row in _ROW.finditer(GLOSSARY)}
RETIRED = GLOSSARY.rpartition("Retired as names: ")[2].strip().rstrip(".").split(", ")
# What the outside sees keeps its name: members of stored documents and of the settings.
KEPT = {"undelivered", "undelivered_age", "undelivered_limit"}


def names() -> Iterator[tuple[str, str]]:
    """Each module, class and public function of the broker, and the module that it is in."""
    for file in sorted((ROOT / "broker").rglob("*.py")):
        module = str(file.relative_to(ROOT / "broker"))
        yield file.stem, module
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, module


def words(name: str) -> list[str]:
    """The words that a name in either spelling consists of."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def test_the_glossary_is_read() -> None:
    assert len(TERMS) > 50
    assert "catalogue" in RETIRED


@pytest.mark.parametrize("term", TERMS)
def test_an_owner_exists_and_the_meaning_is_a_sentence(term: str) -> None:
    meaning, owner = TERMS[term]
    assert (ROOT / "broker" / owner).is_file(), f"{term}: there is no {owner}"
    assert meaning.endswith("."), meaning


def test_retired_words_are_no_names() -> None:
    found = [(name, module) for name, module in names() if name not in KEPT and {*words(name)} & {*RETIRED}]
    assert found == []


def test_no_two_modules_of_different_topics_share_a_name() -> None:
    """The same name in several rooms is the same topic in each of them."""
    shared: dict[str, list[str]] = {}
    for file in (ROOT / "broker").rglob("*.py"):
        shared.setdefault(file.stem, []).append(str(file.relative_to(ROOT / "broker")))
    topics = {
        "__init__", "__main__", "batch", "contexts", "deliveries", "discovery", "entities", "errors",
        "history", "linked_entities", "notify", "registrations", "renderings", "store", "subscriptions",
        "temporal", "types",
    }  # fmt: skip
    assert {name for name, files in shared.items() if len(files) > 1} <= topics
