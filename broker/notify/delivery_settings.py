"""The settings of a process for delivery."""

from dataclasses import dataclass

from broker.core.delivery.lane_buffer import Memory
from broker.core.delivery.machine_base import Bounds
from broker.notify.lane import Retry


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """The name of a process, its memory and bounds, and its patience with endpoints.

    `timeout`: seconds for an attempt, unless the subscription has its own. `concurrency`: attempts at one
    endpoint at the same time.
    """

    process: str
    memory: Memory
    bounds: Bounds
    retry: Retry
    concurrency: int
    timeout: float
