"""What a client is told of sources that did not contribute to an answer (clause 6.3.17: NGSILD-Warning).

    110   the answer is from the cache               199   no answer, or a loop
    111   the answer is no NGSI-LD, or too large     299   any other status but 404

All ways not to be reached are told in the same words, so that the broker is of little use to scan a network.
"""

import re
from collections.abc import Iterable, Iterator

from broker.core.egress import NO_ANSWER
from broker.core.federation.step import Fault, Reply

_MOST = 50
_LONGEST = 200  # characters of a warning that a source sent
_UNPRINTABLE = re.compile(r"[^ -~]")
_LOOP = 508

_TEXTS = {
    Fault.TIMEOUT: (199, NO_ANSWER),
    Fault.REFUSED: (199, NO_ANSWER),
    Fault.COOLING: (199, NO_ANSWER),
    Fault.INVALID: (111, "the answer is not NGSI-LD, or only in part"),
    Fault.TOO_LARGE: (111, "the answer is too large"),
}


def warnings_of(replies: Iterable[Reply], alias: str) -> list[str]:
    """The values of the headers, each its own field. `alias`: who warns, where a source did not itself."""
    texts = dict.fromkeys(text for reply in replies for text in _warnings(reply, alias))
    return [*texts][:_MOST]


def _warnings(reply: Reply, alias: str) -> Iterator[str]:
    if (own := _own(reply)) is not None:
        code, text = own
        yield f'{code} {alias} "{_printable(reply.step.match.source.id)}: {text}"'
    for warning in reply.warnings:
        if text := _UNPRINTABLE.sub("", warning)[:_LONGEST].strip():
            yield text


def _own(reply: Reply) -> tuple[int, str] | None:
    if reply.fault is not None:
        return _TEXTS[reply.fault]
    status = reply.status or 0
    if status == _LOOP:
        return 199, "a loop of registrations"
    return None if 200 <= status < 300 or status == 404 else (299, f"answered with status {status}")


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("?", text).replace('"', "'")[:_LONGEST]
