"""The network: backbone, temporal core, head, and the predictor that carries the state."""
