"""What people do with a trained model: in-silico experiments, each on any model that predicts effects."""
