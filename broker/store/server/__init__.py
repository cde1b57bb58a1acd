"""The MongoDB server: the embedded one, and the check of an external one."""
