"""The sink: every record of the sagas' topics into ClickHouse, once.

`batches` cuts records into batches and `gaps` decides where to go on and what is lost (no I/O). `landing` stores
batches, `positions` keeps bookmarks and gaps, `targets` compares and fills the tables. `resuming` opens partitions,
`checking` and `rounds` look whether all is stored, `assignment` follows the consumer group, `sink` runs it all.
`schema` applies and checks the tables.
"""
