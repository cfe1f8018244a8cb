"""A saga that takes one of two ways, of which one leads over a dependency that a file can take down."""
