"""The cells along the border of what is looked for: of all points, only those there need a closer look."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from broker.core.entity.geometry import Bounds
from broker.store.wire.places import FINEST, grid, name

Numbers = NDArray[np.int64]

_CELLS = 24  # to begin with
_MOST = 256
_MARGIN = 1e-8  # degrees


def border(shape: BaseGeometry, box: Bounds) -> list[str]:
    """The cells along the border of a polygon or several: smaller and smaller ones, until there are many."""
    line = shapely.boundary(shape)
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
    return [name(*one, steps) for one in zip(x.tolist(), y.tolist(), strict=True)]


def _boxes(x: Numbers, y: Numbers, steps: int) -> NDArray[np.object_]:
    """The boxes of cells, and a margin to all sides."""
    wide, high = 360 / 2**steps, 180 / 2**steps
    west, south = x * wide - 180, y * high - 90
    found: NDArray[np.object_] = shapely.box(
        west - _MARGIN, south - _MARGIN, west + wide + _MARGIN, south + high + _MARGIN
    )
    return found
