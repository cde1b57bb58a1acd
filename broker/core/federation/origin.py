"""Who sent a request, as far as context sources must know (clauses 6.3.14, 6.3.17, 6.3.18)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a request.

    `via`: the elements of its Via headers, in order. `is_local`: whether it must be answered from here alone.
    `headers`: all its headers. `deadline`: the time of the event loop until which sources are asked; None:
    the longest that the broker waits for them.
    """

    tenant: str
    via: tuple[str, ...] = ()
    is_local: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
