"""The rules that a flow must keep, by subject. `consumers.runtime.checks` has the table of them."""
