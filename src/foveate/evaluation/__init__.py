"""The prediction table and everything computed from it: metrics, calibration, where the network looks."""
