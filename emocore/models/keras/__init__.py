"""The networks: the only place that imports TensorFlow."""
