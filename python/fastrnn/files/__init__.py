"""Files and programs that end at any moment: atomic writes, temporary files, deferred signals."""
