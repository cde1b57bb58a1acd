"""The table of what is in memory: lines, buffers and streams. It evicts idle streams."""

from itertools import islice

from broker.core.delivery.lane_buffer import LaneBuffer, Memory
from broker.core.delivery.stream import Line, Stream

_SPARED = 16  # streams that one eviction passes over, at most


class StreamTable:
    """Lines by entity, and buffers by the URI of their endpoint.

    A stream without pending entries stays in memory for its `known`, until more than `limit` are idle. The
    streams that have been idle for longest are evicted first.
    """

    def __init__(self, memory: Memory, limit: int) -> None:
        self._memory = memory
        self._limit = limit
        self.lines: dict[str, Line] = {}
        self.buffers: dict[str, LaneBuffer] = {}
        self._idle: dict[Stream, None] = {}  # streams that may be idle, the longest idle first

    def line(self, entity_id: str) -> Line:
        """The line of an entity; a new one if there is none."""
        line = self.lines.get(entity_id)
        if line is None:
            line = self.lines[entity_id] = Line(entity_id)
        return line

    def buffer(self, uri: str) -> LaneBuffer:
        """The buffer of the lane to an endpoint; a new one if there is none."""
        buffer = self.buffers.get(uri)
        if buffer is None:
            buffer = self.buffers[uri] = LaneBuffer(uri, self._memory)
        return buffer

    def stream(self, line: Line, subscription: str, uri: str) -> Stream:
        """The stream of a line and a subscription; if there is none, a new one in the buffer of `uri`."""
        stream = line.streams.get(subscription)
        if stream is None:
            stream = line.streams[subscription] = Stream(line, subscription)
            self.buffer(uri).add(stream)
        return stream

    def rest(self, stream: Stream) -> None:
        """Notes that a stream has nothing to send: if it is idle, it may be evicted from now on."""
        if stream.is_idle and stream.line.streams.get(stream.subscription) is stream:
            self._idle.pop(stream, None)
            self._idle[stream] = None

    def evict(self) -> None:
        """Evicts the streams that have been idle for longest, if there are too many.

        While a load of its line is under way, a stream is spared: only the stream knows which of the loaded
        entries are over.
        """
        excess = len(self._idle) - self._limit
        for stream in list(islice(self._idle, excess + _SPARED)) if excess > 0 else ():
            if len(self._idle) > self._limit and (not stream.is_idle or stream.line.asked is None):
                del self._idle[stream]
                if stream.is_idle:
                    self._evict(stream)

    def tidy(self, line: Line) -> None:
        """Removes a line without streams and loads."""
        if not line.streams and line.is_quiet and self.lines.get(line.entity_id) is line:
            del self.lines[line.entity_id]

    def clear(self, buffer: LaneBuffer) -> None:
        """Removes a buffer that is empty."""
        if buffer.is_empty and self.buffers.get(buffer.uri) is buffer:
            del self.buffers[buffer.uri]

    def _evict(self, stream: Stream) -> None:
        del stream.line.streams[stream.subscription]
        stream.buffer.remove(stream)
        self.tidy(stream.line)
        self.clear(stream.buffer)
