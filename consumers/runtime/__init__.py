"""What carries the sagas, and knows none of them: marks, graph, journal, lanes."""
