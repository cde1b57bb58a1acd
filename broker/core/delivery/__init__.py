"""Delivery of notifications as one pure state machine: no I/O, no clock; times come with the events.

An *entry* is one change that is pending for some subscriptions. The pending entries of one entity are its
*line*: every commit appends to it, in the order of `rev`, and nothing earlier can ever appear. The part of a
line that is due to one subscription is a *stream*: it is delivered strictly in order, one entry at a time.

Everything hangs on one number of a stream, `known`: **all entries of the stream with a `rev` up to it are
in memory, or over** (delivered, a dead letter, or nobody's). What the store still shows of them was read too
early. The first entry of a stream may be sent if its rev is not above `known`. Otherwise something earlier is
pending that this process does not hold: it is loaded if it is its own, and looked at again and again if it
belongs to another process, which settles it one day or leaves it to an heir.

The machine learns what is pending from commits, which tell exactly what was pending before, and from loads.
What has no room in memory stays in the store; the *buffer* of its lane then knows for which subscriptions it
is behind, and pages through the store for them when there is room. What waits for another process makes room
for what does not: else two processes with full memories could wait for each other for ever.
"""
