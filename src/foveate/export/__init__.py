"""A trained network leaves: as an ONNX file, a torch program, a timm folder, or one web page."""
