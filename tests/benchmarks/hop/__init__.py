"""One participant whose step does nothing, against a bare consume-decode-produce-commit loop over the same records."""
