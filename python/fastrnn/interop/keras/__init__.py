"""Models of Keras, in and out, without Keras."""
