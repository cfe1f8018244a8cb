"""What can be said: every command, event, refusal and compensating event, as pydantic models. No I/O."""
