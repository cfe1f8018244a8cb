"""The `soma` command: one file a verb."""
