"""Where entities are, for MongoDB: a copy of their geometries that always can be stored, and indexed.

Beside what was sent, a stored entity holds `geo`: for the key of each GeoProperty a Place for each instance,
its box and, for a Point, the point itself; and `cells`, which one index serves for all GeoProperties.

A cell is a quarter of a quarter … of the map of the Earth in longitude and latitude, named by the path to it,
one digit a step: the names of all that lies in a cell begin with its own. A Point has the finest cell that
it is in; any other place the few cells that cover its box, each with a + before its name, so that the two can
be looked for apart. What isn't on Earth has no Place.
"""

import math
from typing import Any

from bson import Regex

from broker.core import Instance
from broker.core.entity.geometry import Bounds, bounds

Place = dict[str, Any]  # {"w", "s", "e", "n": degrees, "at": [longitude, latitude]?}

FINEST = 20  # steps to cells of 38 by 19 metres
_MANY = 24  # cells that cover what is looked for
_SPREAD = "+"


def is_spatial(instance: Instance) -> bool:
    """Whether an instance is of a GeoProperty."""
    return bool(instance["type"] == "GeoProperty")


def place(instance: Instance) -> Place | None:
    """The place of an instance of a GeoProperty."""
    value = instance["value"]
    box = bounds(value)
    if box is None:
        return None
    found: Place = dict(zip("wsen", box, strict=True))
    if value["type"] == "Point":
        found["at"] = [box[0], box[1]]
    return found


def cells(one: Place) -> list[str]:
    """The cells of a place, four at most: the smallest that are not smaller than its box."""
    names = _covering((one["w"], one["s"], one["e"], one["n"]), 4)
    return names if "at" in one else [_SPREAD + name for name in names]


def around(boxes: list[Bounds], points: list[str] | None = None) -> dict[str, Any]:
    """The condition on `cells` that something may lie in one of the boxes, Points in certain cells alone."""
    inside = {name for box in boxes for name in _covering(box, _MANY)}
    above = {name[:length] for name in inside for length in range(len(name))}
    exact = [_SPREAD + name for name in sorted(above)]
    below = [Regex(f"^{name}") for name in sorted(inside if points is None else points)]
    return {"$in": [*exact, *(Regex(rf"^\{_SPREAD}{name}") for name in sorted(inside)), *below]}


def _covering(box: Bounds, most: int) -> list[str]:
    """The names of the finest cells of one size that cover a box, with no more than so many."""
    steps, columns, rows = grid(box, most)
    return [name(x, y, steps) for x in columns for y in rows]


def grid(box: Bounds, most: int) -> tuple[int, range, range]:
    """Those cells: how many steps lead to them, and their columns and rows from the south-west."""
    west, east = (box[0] + 180) / 360, (box[2] + 180) / 360
    south, north = (box[1] + 90) / 180, (box[3] + 90) / 180
    for steps in range(_steps(max(east - west, north - south), most), -1, -1):
        left, right, low, high = (_number(one, steps) for one in (west, east, south, north))
        if (right - left + 1) * (high - low + 1) <= most:
            break
    return steps, range(left, right + 1), range(low, high + 1)


def _steps(extent: float, most: int) -> int:
    """After how many steps cells are so small that too many would be needed for this part of the map."""
    return min(FINEST, int(math.log2(most / extent))) if extent * 2**FINEST > most else FINEST


def _number(share: float, steps: int) -> int:
    cells: int = 2**steps
    return max(0, min(int(share * cells), cells - 1))


def name(x: int, y: int, steps: int) -> str:
    """The digits tell the halves of both directions: read as decimal numbers, the bits add up to them."""
    return f"{int(f'{x:b}') + 2 * int(f'{y:b}'):0{steps}d}" if steps else ""
