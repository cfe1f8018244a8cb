"""Folds each saga's facts into its status: the participant `<saga>.tracker`, exactly-once like any other."""
