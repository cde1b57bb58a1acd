"""Names: the expansion of terms to IRIs, and the compaction of IRIs (clause 5.5.7)."""
