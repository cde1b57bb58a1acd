"""The identity of this context source (clauses 5.2.40, 5.15.1)."""

from broker.core import Json

_PLAIN = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def alias(name: str, tenant: str) -> str:
    """The pseudonym of one tenant of this broker: a token (RFC 7230), as Via headers require."""
    return name if not tenant else f"{name}~{''.join(c if c in _PLAIN else f'%{ord(c):02X}' for c in tenant)}"


def source_identity(name: str, tenant: str, uptime: int, now: str) -> dict[str, Json]:
    """The ContextSourceIdentity; `uptime` in seconds."""
    pseudonym = alias(name, tenant)
    return {
        "id": f"urn:ngsi-ld:ContextSourceIdentity:{pseudonym}",
        "type": "ContextSourceIdentity",
        "contextSourceAlias": pseudonym,
        "contextSourceUptime": f"PT{uptime}S",
        "contextSourceTimeAt": now + "Z",
    }
