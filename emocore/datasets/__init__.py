"""What a model is trained and tested on."""
