"""Writes of entities, their history and pending entries: queued, planned, and committed in groups.

A write is one guarded update of one document (decision 0013). A group is one command of such updates, which
succeed or fail independently. A transaction is used where history or entries have to move out of a
document, and for groups of several entities without conflicts, since it costs MongoDB less.
"""
