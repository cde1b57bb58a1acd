"""What is told of a document that is not of its data type: the member, in the words of JSON."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from broker.core import Json

Path = tuple[str | int, ...]
Fault = Mapping[str, Any]  # one of pydantic's error details

_NEAR = 0.66  # how alike names are, of at most 1, one of which may be meant by the other

_EXPECTED: dict[str, str] = {
    "missing": "a value, and it is missing",
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "an array",
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
}
_BOUNDED: dict[str, Callable[[Fault], str]] = {
    "literal_error": lambda ctx: str(ctx["expected"]).replace("'", '"'),
    "greater_than": lambda ctx: f"more than {ctx['gt']}",
    "greater_than_equal": lambda ctx: f"at least {ctx['ge']}",
    "less_than": lambda ctx: f"less than {ctx['lt']}",
    "less_than_equal": lambda ctx: f"at most {ctx['le']}",
    "too_short": lambda ctx: "an array that is not empty",
    "too_long": lambda ctx: f"an array of at most {ctx['max_length']} items",
    "string_too_short": lambda ctx: "a string that is not empty",
    "string_too_long": lambda ctx: f"a string of at most {ctx['max_length']} characters",
}


def complaint(kind: type[BaseModel], doc: Json, error: ValidationError) -> str:
    """The first thing that is wrong with a document: where it is, and what was expected there.

    Where alternatives were, it is about the one that the document comes nearest to.
    """
    faults: list[Fault] = [*error.errors(include_url=False)]
    if faults[0]["type"] == "missing":  # under another name, it may be
        faults.sort(key=lambda one: one["type"] != "extra_forbidden")
    first, same = faults[0], [faults[0]]
    if (base := _alternatives(doc, first["loc"])) is not None:
        same = [one for one in faults if one["loc"][: len(base)] == base]
    paths = [_path(doc, one) for one in same]
    deepest = max(paths, key=len)
    nearest = [one for one, path in zip(same, paths, strict=True) if path == deepest]
    where = ".".join(map(str, deepest))
    fault = _unknown(kind, deepest) if nearest[0]["type"] == "extra_forbidden" else _expected(nearest)
    return f"{where}: {fault}" if where else fault


def _alternatives(doc: Json, loc: Sequence[str | int]) -> Path | None:
    """Where the first step is that is of no document but one of alternatives, which the library names."""
    for length, step in enumerate(loc):
        if not _leads(doc, step):
            is_member = isinstance(doc, dict)  # which is missing
            return None if is_member else tuple(loc[:length])
        doc = doc[step]
    return None


def _path(doc: Json, fault: Fault) -> Path:
    """The path of members, without names of alternatives."""
    path: list[str | int] = []
    for step in fault["loc"]:
        if _leads(doc, step):
            path.append(step)
            doc = doc[step]
    return (*path, fault["loc"][-1]) if fault["type"] == "missing" else tuple(path)


def _leads(doc: Json, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(doc, list) and step < len(doc)
    return isinstance(doc, dict) and step in doc


def _expected(faults: Sequence[Fault]) -> str:
    """What would have been right, or the fault in the words of whoever found it."""
    found = dict.fromkeys(map(_words, faults))
    if "expected a number" in found:
        found.pop("expected a whole number", None)
    others = [words for words in found if not words.startswith("expected ")]
    wanted = " or ".join(words.removeprefix("expected ") for words in found if words not in others)
    return others[0] if others else f"expected {wanted}"


def _words(fault: Fault) -> str:
    kind = fault["type"]
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    if kind in _BOUNDED:
        return f"expected {_BOUNDED[kind](fault['ctx'])}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _unknown(kind: type[BaseModel], path: Path) -> str:
    """What is said of a member that nobody knows: the one that may be meant."""
    of = _type_at(kind, path[:-1])
    names = [field.alias or name for name, field in of.model_fields.items()]
    by_letters = {name.lower(): name for name in names}
    near = get_close_matches(str(path[-1]).lower(), by_letters, 1, _NEAR)
    return "not a member that is known here" + (f"; {by_letters[near[0]]} is one" if near else "")


def _type_at(kind: type[BaseModel], path: Path) -> type[BaseModel]:
    for step in path:
        if isinstance(step, str):
            field = next(one for name, one in kind.model_fields.items() if step in (one.alias, name))
            kind = next(_types_in(field.annotation))
    return kind


def _types_in(annotation: Any) -> Any:
    """The data types that an annotation names, however deep in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _types_in(one)
