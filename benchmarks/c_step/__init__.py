"""Single steps of the C library beside RTNeural's."""
