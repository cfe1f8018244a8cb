"""Records as an outsider may write them: the generator, and the tests that give them to the memories of the lanes."""
