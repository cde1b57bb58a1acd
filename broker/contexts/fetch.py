"""Downloads of @context documents, within limits (clause 5.5.6)."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson

from broker.contexts.compiler import refuse_deep
from broker.core import Json
from broker.core.egress import NO_ANSWER
from broker.core.errors import BadRequestData, LdContextNotAvailable
from broker.egress import Egress

log = logging.getLogger(__name__)
_REDIRECTS = {301, 302, 303, 307, 308}
_MAX_AGE = re.compile(r"(?<![\w-])max-age\s*=\s*\"?(\d{1,10})", re.IGNORECASE)
_NO_CACHE = re.compile(r"(?<![\w-])no-(?:cache|store)(?![\w-])", re.IGNORECASE)
_ACCEPT = {"Accept": "application/ld+json, application/json;q=0.9"}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """The limits of a download: `timeout` (seconds), `size` (bytes), redirects, and hosts (None: any)."""

    timeout: float = 5.0
    size: int = 1024**2
    redirects: int = 3
    hosts: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document and its `lifetime` in seconds, as the host specifies it; None if it does not."""

    document: Json
    lifetime: float | None


class Fetcher:
    """Fetches JSON documents that hold an @context."""

    def __init__(self, egress: Egress, limits: FetchLimits) -> None:
        self._egress = egress
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> Fetched:
        """The document at a URL.

        LdContextNotAvailable if it cannot be fetched; BadRequestData if it is no JSON object with @context.
        """
        try:
            body, lifetime = await self._body(url)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            log.info("an @context cannot be fetched", extra={"url": url, "reason": reason})
            raise LdContextNotAvailable(f"{url}: {NO_ANSWER}") from error
        return Fetched(_document(url, body), lifetime)

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _body(self, url: str) -> tuple[bytes, float | None]:
        """(body, lifetime). Follows redirects itself, to check each host before it sends a request there."""
        if self._session is None:
            self._session = self._egress.session(timeout=aiohttp.ClientTimeout(self._limits.timeout))
        here = url
        for _ in range(self._limits.redirects + 1):
            self._check(here)
            async with self._session.get(here, headers=_ACCEPT, allow_redirects=False) as answer:
                if answer.status in _REDIRECTS and "Location" in answer.headers:
                    here = urljoin(here, answer.headers["Location"])
                    continue
                if answer.status != 200:
                    raise LdContextNotAvailable(f"{url}: answered with status {answer.status}")
                return await self._read(url, answer), _lifetime(answer.headers, datetime.now(UTC))
        raise LdContextNotAvailable(f"{url}: more than {self._limits.redirects} redirects")

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise LdContextNotAvailable(f"{url}: expected an http or https URL")
        if self._limits.hosts is not None and parts.hostname not in self._limits.hosts:
            raise LdContextNotAvailable(f"{url}: this broker may not fetch from {parts.hostname}")

    async def _read(self, url: str, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(65_536):
            body += chunk
            if len(body) > self._limits.size:
                raise LdContextNotAvailable(f"{url}: larger than {self._limits.size} bytes")
        return bytes(body)


def _lifetime(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds for which a document is fresh (RFC 9111); None if the host does not say."""
    control = headers.get("Cache-Control", "")
    if _NO_CACHE.search(control):
        return 0.0
    if (age := _MAX_AGE.search(control)) is not None:
        return float(age[1])
    try:
        return (parsedate_to_datetime(headers["Expires"]) - now).total_seconds()
    except (KeyError, ValueError, TypeError):  # no Expires, or an invalid one
        return None


def _document(url: str, body: bytes) -> Json:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestData(f"{url}: not a JSON document") from error
    if not isinstance(document, dict) or "@context" not in document:
        raise BadRequestData(f"{url}: a JSON document without @context")
    refuse_deep(document["@context"])
    return {"@context": document["@context"]}  # the rest, such as an ontology, is not needed
