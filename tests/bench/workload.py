"""The workload that the field uses, rendered as bytes.

An entity of 1.1 kB: three string Properties, two measured Properties of two datasetId instances each
(no default instance), one measured Property with a sub-property, one Relationship, one location.
Measured values lie between 10.00 and 99.99 and every write brings a fresh, increasing observedAt:
all of the same width, so the head of a request is rendered once and the length always holds.
"""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

TYPES = 10
MEASURED = "temperature"  # the measured Property with a default instance and a sub-property

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_ENTITY = (
    b'{"id":"%b","type":"%b",'
    b'"name":{"type":"Property","value":"Station at the upper bridge"},'
    b'"operator":{"type":"Property","value":"Regional water authority"},'
    b'"description":{"type":"Property","value":"Left bank, 40 m below the weir; reports every minute"},'
    b'"refDevice":{"type":"Relationship","object":"%b"},'
    b'"location":{"type":"GeoProperty","value":{"type":"Point","coordinates":[12.%04d,44.%04d]}},'
)
_MEASURES = (
    b'"humidity":['
    b'{"type":"Property","value":%.2f,"unitCode":"P1","observedAt":"%b","datasetId":"urn:ngsi-ld:dataset:a"},'
    b'{"type":"Property","value":%.2f,"unitCode":"P1","observedAt":"%b","datasetId":"urn:ngsi-ld:dataset:b"}],'
    b'"level":['
    b'{"type":"Property","value":%.2f,"unitCode":"CMT","observedAt":"%b","datasetId":"urn:ngsi-ld:dataset:a"},'
    b'{"type":"Property","value":%.2f,"unitCode":"CMT","observedAt":"%b","datasetId":"urn:ngsi-ld:dataset:b"}],'
    b'"temperature":'
    b'{"type":"Property","value":%.2f,"unitCode":"CEL","observedAt":"%b",'
    b'"accuracy":{"type":"Property","value":0.5}}}'
)
_INSTANCE = b'{"type":"Property","value":%.2f,"observedAt":"%b"}'
_PARTIAL = b'{"value":%.2f,"observedAt":"%b"}'


def now() -> bytes:
    """The time as NGSI-LD writes it, in microseconds."""
    return _written(datetime.now(UTC))


def _written(time: datetime) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def measured() -> float:
    """A measured value of four digits."""
    return round(10.0 + random.random() * 89.9, 2)


def entity_id(number: int, family: str = "Station") -> str:
    """The id of an entity by its number."""
    return f"urn:ngsi-ld:{family}:{number:08d}"


def type_of(number: int, family: str = "Station") -> str:
    """The type of an entity by its number: as many of each of the ten."""
    return f"{family}{number % TYPES}"


def device(number: int) -> str:
    """The device that an entity refers to: one for each hundred."""
    return f"urn:ngsi-ld:Device:{number // 100:08d}"


def entity(number: int, family: str = "Station", value: float | None = None) -> bytes:
    """A whole entity, measured just now; `value` is that of the measured Property."""
    ids = entity_id(number, family).encode(), type_of(number, family).encode()
    place = 2000 + number * 7919 % 3000, 8000 + number * 6271 % 1999  # over a city of 24 by 22 km
    return _ENTITY % (*ids, device(number).encode(), *place) + _measures(
        measured() if value is None else value
    )


def update(value: float) -> bytes:
    """The body that updates the three measured Properties (five instances)."""
    return b"{" + _measures(value)


def partial(value: float) -> bytes:
    """The body that updates the value of one measured Property."""
    return _PARTIAL % (value, now())


def past(number: int, start: int, count: int) -> bytes:
    """An evolution: so many values of the measured Property, one a minute from minute `start` on."""
    times = (_written(_BEGIN + timedelta(minutes=start + n)) for n in range(count))
    instances = (_INSTANCE % (measured(), time) for time in times)
    ids = entity_id(number, "Meter").encode(), MEASURED.encode(), b",".join(instances)
    return b'{"id":"%b","type":"Meter","%b":[%b]}' % ids


def _measures(value: float) -> bytes:
    time = now()
    four = itertools.chain.from_iterable((measured(), time) for _ in range(4))
    return _MEASURES % (*four, value, time)


def shuffled(count: int) -> Iterator[int]:
    """The numbers below `count`, in an order without meaning, again and again."""
    return itertools.cycle(random.Random(count).sample(range(count), count))
