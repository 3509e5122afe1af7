"""Candidates: makers of estimators, their ensembles and calibration, and their one serving format, ONNX."""
