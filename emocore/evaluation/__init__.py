"""What a model is worth: metrics, calibration, bias, and the report that shows them."""
