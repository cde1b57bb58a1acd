"""The table of what is in memory: lines, buffers and streams, and for how long they stay."""

from itertools import islice

from broker.core.delivery.lane_buffer import LaneBuffer, Memory
from broker.core.delivery.stream import Line, Stream

_SPARED = 16  # streams that are passed over, at most


class StreamTable:
    """Lines by entity, buffers by endpoint.

    A stream that has nothing pending stays for what is known of it: the `limit` that were busy last.
    """

    def __init__(self, memory: Memory, limit: int) -> None:
        self._memory = memory
        self._limit = limit
        self.lines: dict[str, Line] = {}
        self.buffers: dict[str, LaneBuffer] = {}
        self._idle: dict[Stream, None] = {}  # those that may be idle; for the longest time in front

    def line(self, entity_id: str) -> Line:
        """The line of an entity."""
        line = self.lines.get(entity_id)
        if line is None:
            line = self.lines[entity_id] = Line(entity_id)
        return line

    def buffer(self, uri: str) -> LaneBuffer:
        """The buffer of the lane to an endpoint."""
        buffer = self.buffers.get(uri)
        if buffer is None:
            buffer = self.buffers[uri] = LaneBuffer(uri, self._memory)
        return buffer

    def stream(self, line: Line, subscription: str, uri: str) -> Stream:
        """The stream of a line and a subscription, whose endpoint this is."""
        stream = line.streams.get(subscription)
        if stream is None:
            stream = line.streams[subscription] = Stream(line, subscription)
            self.buffer(uri).add(stream)
        return stream

    def rest(self, stream: Stream) -> None:
        """A stream has nothing to send: if it is idle, it may be forgotten before long."""
        if stream.is_idle and stream.line.streams.get(stream.subscription) is stream:
            self._idle.pop(stream, None)
            self._idle[stream] = None

    def evict(self) -> None:
        """Forgets what has been idle for longest, if there is too much of it.

        A load that is under way may bring what only the stream knows to be over: that one is spared.
        """
        excess = len(self._idle) - self._limit
        for stream in list(islice(self._idle, excess + _SPARED)) if excess > 0 else ():
            if len(self._idle) > self._limit and (not stream.is_idle or stream.line.asked is None):
                del self._idle[stream]
                if stream.is_idle:
                    self._forget(stream)

    def tidy(self, line: Line) -> None:
        """Forgets a line if there is nothing to know of it."""
        if not line.streams and line.is_quiet and self.lines.get(line.entity_id) is line:
            del self.lines[line.entity_id]

    def clear(self, buffer: LaneBuffer) -> None:
        """Forgets a buffer if there is nothing to know of it."""
        if buffer.is_empty and self.buffers.get(buffer.uri) is buffer:
            del self.buffers[buffer.uri]

    def _forget(self, stream: Stream) -> None:
        del stream.line.streams[stream.subscription]
        stream.buffer.remove(stream)
        self.tidy(stream.line)
        self.clear(stream.buffer)
