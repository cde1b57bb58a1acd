"""The base of the data types of clause 5.2: strict members, and one error message for the first fault."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from broker.core import Json
from broker.core.complaint import complaint
from broker.core.errors import BadRequestData
from broker.core.uri import is_uri

Read = TypeVar("Read", bound=BaseModel)


class Member(BaseModel):
    """The base of data types: members in camel case and of exactly their types; unknown ones are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, strict=True
    )


def checked(is_valid: Callable[[str], bool], expected: str) -> AfterValidator:
    """A validator of texts. `expected` completes the error message: "expected …"."""

    def check(value: str) -> str:
        if not is_valid(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


Uri = Annotated[str, checked(is_uri, "a URI")]
Dataset = Annotated[str, checked(lambda text: text == "@none" or is_uri(text), "a URI or @none")]
Texts = Annotated[list[str], Field(min_length=1)]


def read(kind: type[Read], doc: Json, what: str) -> Read:
    """A document as this data type. BadRequestData, which names the member, if it does not fit."""
    if not isinstance(doc, dict):
        raise BadRequestData(f"{what}: expected a JSON object")
    try:
        return kind.model_validate(doc)
    except ValidationError as error:
        raise BadRequestData(complaint(kind, doc, error)) from error
