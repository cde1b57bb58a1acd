"""The cells along the border of an area: a geoquery has to test exactly only the Points in these."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from broker.core.entity.geometry import Bounds
from broker.store.wire.places import FINEST, grid, name

Numbers = NDArray[np.int64]

_CELLS = 24  # the most cells at the beginning
_MOST = 256  # the most cells in a result
_MARGIN = 1e-8  # degrees


def border(area: BaseGeometry, box: Bounds) -> list[str]:
    """The names of the cells along the border of a (multi)polygon, as small as possible for 256 cells.

    `box` is the bounding box of the polygon (degrees).
    """
    line = shapely.boundary(area)
    shapely.prepare(line)
    steps, columns, rows = grid(box, _CELLS)
    x, y = np.repeat(columns, len(rows)), np.tile(rows, len(columns))
    while len(x) and steps < FINEST:
        finer_x = np.repeat(2 * x, 4) + np.tile((0, 1, 0, 1), len(x))
        finer_y = np.repeat(2 * y, 4) + np.tile((0, 0, 1, 1), len(y))
        crossed = shapely.intersects(line, _boxes(finer_x, finer_y, steps + 1))
        if np.count_nonzero(crossed) > _MOST:
            break
        steps, x, y = steps + 1, finer_x[crossed], finer_y[crossed]
    return [name(*cell, steps) for cell in zip(x.tolist(), y.tolist(), strict=True)]


def _boxes(x: Numbers, y: Numbers, steps: int) -> NDArray[np.object_]:
    """The boxes of cells, larger by a margin on all sides."""
    wide, high = 360 / 2**steps, 180 / 2**steps
    west, south = x * wide - 180, y * high - 90
    boxes: NDArray[np.object_] = shapely.box(
        west - _MARGIN, south - _MARGIN, west + wide + _MARGIN, south + high + _MARGIN
    )
    return boxes
