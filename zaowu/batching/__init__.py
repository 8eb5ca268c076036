"""The only place that orders, pads and masks."""
