"""ONNX files: models in and out; the extra ``onnx`` brings the library that reads the format."""
