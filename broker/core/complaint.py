"""Messages about documents that do not fit their data type: they name the member, in the words of JSON."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from broker.core import Json

Path = tuple[str | int, ...]
Fault = Mapping[str, Any]  # one of pydantic's error details

_NEAR = 0.66  # least similarity (0 to 1) of an unknown name and the member that it suggests

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
    """The message about the first fault of a document: where it is, and what was expected there.

    Where several types are allowed, it is about the type that fits the document best.
    """
    faults: list[Fault] = [*error.errors(include_url=False)]
    if faults[0]["type"] == "missing":  # it may be there under a wrong name
        faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
    first, alternatives = faults[0], [faults[0]]
    if (base := _alternatives(doc, first["loc"])) is not None:
        alternatives = [fault for fault in faults if fault["loc"][: len(base)] == base]
    paths = [_path(doc, fault) for fault in alternatives]
    deepest = max(paths, key=len)
    nearest = [fault for fault, path in zip(alternatives, paths, strict=True) if path == deepest]
    where = ".".join(map(str, deepest))
    message = _unknown(kind, deepest) if nearest[0]["type"] == "extra_forbidden" else _expected(nearest)
    return f"{where}: {message}" if where else message


def _alternatives(doc: Json, loc: Sequence[str | int]) -> Path | None:
    """The path down to the first step that is not in the document; None if there is none or it is a member.

    Pydantic adds such a step, the name of a type, where several types are allowed.
    """
    for length, step in enumerate(loc):
        if not _leads(doc, step):
            is_member = isinstance(doc, dict)  # a missing member, not a type
            return None if is_member else tuple(loc[:length])
        doc = doc[step]
    return None


def _path(doc: Json, fault: Fault) -> Path:
    """The path of members and indices in the document, without the names of types that pydantic adds."""
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
    """What was expected, by all of the faults; or the message of a validator of ours."""
    messages = dict.fromkeys(map(_words, faults))
    if "expected a number" in messages:
        messages.pop("expected a whole number", None)
    others = [words for words in messages if not words.startswith("expected ")]
    wanted = " or ".join(words.removeprefix("expected ") for words in messages if words not in others)
    return others[0] if others else f"expected {wanted}"


def _words(fault: Fault) -> str:
    kind = fault["type"]
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    if kind in _BOUNDED:
        return f"expected {_BOUNDED[kind](fault['ctx'])}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _unknown(kind: type[BaseModel], path: Path) -> str:
    """The message about an unknown member. It suggests a known one with a similar name."""
    parent = _type_at(kind, path[:-1])
    names = [field.alias or name for name, field in parent.model_fields.items()]
    by_letters = {name.lower(): name for name in names}
    near = get_close_matches(str(path[-1]).lower(), by_letters, 1, _NEAR)
    return "not a member that is known here" + (f"; {by_letters[near[0]]} is one" if near else "")


def _type_at(kind: type[BaseModel], path: Path) -> type[BaseModel]:
    for step in path:
        if isinstance(step, str):
            field = next(
                candidate for name, candidate in kind.model_fields.items() if step in (candidate.alias, name)
            )
            kind = next(_types_in(field.annotation))
    return kind


def _types_in(annotation: Any) -> Any:
    """Yields the data types that an annotation contains at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _types_in(inner)
