"""What all models with ``fit`` share: settings, codecs for inputs and labels, the training loop, files."""
