"""Places: the geometries of GeoProperties reduced to boxes and cells, which MongoDB can index.

A stored entity has two members for them. `geo` maps the key of each GeoProperty to a list with the Place of
each instance: its bounding box and, for a Point, the point. `cells` lists the cells of all its places; one
index of `cells` serves all GeoProperties.

Cells are a quadtree over the map of longitude and latitude. The name of a cell is the path from the root, one
digit for each step, so the names of cells inside a cell begin with its name. A Point has the finest cell that
contains it. Any other geometry has up to four cells that cover its bounding box, with `+` before each name,
so that a query can search Points and other geometries separately. A geometry outside the Earth has no Place.
"""

import math
from typing import Any

from bson import Regex

from broker.core import Instance
from broker.core.entity.geometry import Bounds, bounds

Place = dict[str, Any]  # {"w", "s", "e", "n": degrees, "at": [longitude, latitude]?}

FINEST = 20  # steps to cells of 38 by 19 metres
_MANY = 24  # cells, at most, that cover a box of a query
_SPREAD = "+"  # prefix of the cells of geometries that are not Points


def is_spatial(instance: Instance) -> bool:
    """Whether the attribute instance is a GeoProperty."""
    return bool(instance["type"] == "GeoProperty")


def place(instance: Instance) -> Place | None:
    """The place of an instance of a GeoProperty; None if it is not on Earth."""
    value = instance["value"]
    box = bounds(value)
    if box is None:
        return None
    location: Place = dict(zip("wsen", box, strict=True))
    if value["type"] == "Point":
        location["at"] = [box[0], box[1]]
    return location


def cells(location: Place) -> list[str]:
    """The names of the cells of a place: one for a Point, else up to four that cover its bounding box."""
    names = _covering((location["w"], location["s"], location["e"], location["n"]), 4)
    return names if "at" in location else [_SPREAD + name for name in names]


def around(boxes: list[Bounds], points: list[str] | None = None) -> dict[str, Any]:
    """The condition on `cells` for entities that may have a place in one of the boxes.

    `points` are the cells to search for Points; None for those that cover the boxes.
    """
    inside = {name for box in boxes for name in _covering(box, _MANY)}
    above = {name[:length] for name in inside for length in range(len(name))}
    exact = [_SPREAD + name for name in sorted(above)]
    below = [Regex(f"^{name}") for name in sorted(inside if points is None else points)]
    return {"$in": [*exact, *(Regex(rf"^\{_SPREAD}{name}") for name in sorted(inside)), *below]}


def _covering(box: Bounds, most: int) -> list[str]:
    """The names of the cells that cover a box: of one size, as small as possible, `most` at most."""
    steps, columns, rows = grid(box, most)
    return [name(x, y, steps) for x in columns for y in rows]


def grid(box: Bounds, most: int) -> tuple[int, range, range]:
    """The cells that cover a box, of one size, as small as possible, `most` at most: (steps, columns, rows).

    `steps` is their depth in the quadtree; columns and rows count from the south-west.
    """
    west, east = (box[0] + 180) / 360, (box[2] + 180) / 360
    south, north = (box[1] + 90) / 180, (box[3] + 90) / 180
    for steps in range(_steps(max(east - west, north - south), most), -1, -1):
        left, right, low, high = (_number(share, steps) for share in (west, east, south, north))
        if (right - left + 1) * (high - low + 1) <= most:
            break
    return steps, range(left, right + 1), range(low, high + 1)


def _steps(extent: float, most: int) -> int:
    """The greatest depth at which `most` cells in a row are as long as `extent`, a share of the map."""
    return min(FINEST, int(math.log2(most / extent))) if extent * 2**FINEST > most else FINEST


def _number(share: float, steps: int) -> int:
    """The column (or row) at this depth that contains the coordinate `share` of the map (0 to 1)."""
    cells: int = 2**steps
    return max(0, min(int(share * cells), cells - 1))


def name(x: int, y: int, steps: int) -> str:
    """The name of the cell in column `x` and row `y` at depth `steps`.

    Digit n is bit n of `x` plus twice bit n of `y`. The bits, read as decimal numbers, add up without carry.
    """
    return f"{int(f'{x:b}') + 2 * int(f'{y:b}'):0{steps}d}" if steps else ""
