"""What the data types of clause 5.2 are made of: strict members, and one complaint where they are wrong."""

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
    """A data type: members in camel case, of their types exactly, and no others."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, strict=True
    )


def checked(is_valid: Callable[[str], bool], expected: str) -> AfterValidator:
    """A check of a text; `expected` completes the complaint."""

    def check(value: str) -> str:
        if not is_valid(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


Uri = Annotated[str, checked(is_uri, "a URI")]
Dataset = Annotated[str, checked(lambda text: text == "@none" or is_uri(text), "a URI or @none")]
Texts = Annotated[list[str], Field(min_length=1)]


def read(kind: type[Read], doc: Json, what: str) -> Read:
    """A document as this data type; BadRequestData, which names the member, if it is none."""
    if not isinstance(doc, dict):
        raise BadRequestData(f"{what}: expected a JSON object")
    try:
        return kind.model_validate(doc)
    except ValidationError as error:
        raise BadRequestData(complaint(kind, doc, error)) from error
