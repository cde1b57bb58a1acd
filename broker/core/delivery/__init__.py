"""The delivery of notifications, as a pure state machine: no I/O and no clock; times come with the events.

An *entry* is one change that is pending for some subscriptions. The pending entries of one entity are its
*line*: each commit appends to it, in the order of `rev`, and an entry never appears before an existing one.
The entries of a line that are pending for one subscription are a *stream*. A stream is delivered strictly in
order, one entry at a time. An entry is *over* for a subscription when it was delivered, became a dead
letter, or the subscription is gone.

The central number of a stream is `known`: **all entries of the stream with a `rev` up to `known` are in
memory, or over**. If a load returns another one, its read is older than the end of that entry, and the entry
is ignored. The first entry of a stream may be sent if its `rev` is not above `known`. Otherwise an earlier
entry is pending that is not in memory. If it belongs to this process, it is loaded. If it belongs to another
process, the store is read again and again, until that process has settled it, or has died and its entries
are adopted.

The machine learns what is pending from commits, which name all entries that were pending before, and from
loads. Entries for which memory has no room stay in the store. The *buffer* of their lane then knows for which
subscriptions it is behind, and pages through the store for them when there is room. Streams that wait for
another process make room for streams that do not: otherwise two processes with full memories could wait for
each other for ever.
"""
