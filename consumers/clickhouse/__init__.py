"""The sink: every record of the sagas' topics into ClickHouse, once.

`batches` cuts records into batches (no I/O), `landing` stores them, `resuming` finds out where to go on,
`assignment` follows the consumer group, `sink` runs it all; `schema` applies and checks the tables.
"""
