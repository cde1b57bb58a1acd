"""The cells along borders hold every point that is too close to a border to be told from afar."""

import math
from random import Random

import shapely

from broker.store.query.borders import border
from broker.store.wire.places import FINEST, cells


def test_every_point_on_a_border_is_in_its_cells() -> None:
    r = Random(3)
    for _ in range(50):
        corners = sorted((r.uniform(0, 2 * math.pi), 10 ** r.uniform(-3, 1)) for _ in range(r.randint(3, 20)))
        ring = [(20 + far * math.cos(turn), 40 + far * math.sin(turn)) for turn, far in corners]
        shape = shapely.polygons(ring)
        found = border(shape, shape.bounds)
        assert len(found) <= 256
        for _ in range(200):
            at = shapely.line_interpolate_point(shape.exterior, r.random(), normalized=True)
            assert any(_cell(at.x, at.y).startswith(name) for name in found)


def test_little_of_what_is_inside_is_in_them() -> None:
    r = Random(4)
    found = border(shapely.box(0, 0, 1, 1), (0, 0, 1, 1))
    inside = [_cell(r.random(), r.random()) for _ in range(1000)]
    assert sum(any(one.startswith(name) for name in found) for one in inside) < 150


def _cell(x: float, y: float) -> str:
    [name] = cells({"w": x, "s": y, "e": x, "n": y, "at": [x, y]})
    assert len(name) == FINEST
    return name
