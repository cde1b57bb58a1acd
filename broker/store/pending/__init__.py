"""What is pending: entries, each a change that some subscriptions have yet to be told of.

They lie in the document of their entity, in order (`o`); in the collection `outbox` lie those that had no
room there, and reports and replays. Where the outbox has some of an entity, its document says so (`ov`).
"""
