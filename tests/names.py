"""Names that tests resolve themselves, so that nothing goes elsewhere."""

import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult


class Names(AbstractResolver):
    """A resolver of `<name>.example`: each name has answers, one after the other; the last one stays."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.answers = {f"{name}.example": list(answers) for name, answers in names.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answers = self.answers.get(host)
        if answers is None:
            raise OSError(None, f"{host} is unknown")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_UNSPEC, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""
