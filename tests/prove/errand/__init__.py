"""The saga that the proof runs by the ten thousand: errands whose effects are one line each in a file."""
