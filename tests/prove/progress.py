"""What a proof prints while it runs."""

import sys


def tell(words: str) -> None:
    """Show them at once, beside the certificate."""
    print(words, file=sys.stderr, flush=True)
