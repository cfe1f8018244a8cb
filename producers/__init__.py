"""How messages are said: settings, headers, transactions, telemetry, and a small client for other programs."""
