"""The verbs: the only place that touches the world and wires rooms together."""
