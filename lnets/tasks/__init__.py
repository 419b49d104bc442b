"""What one trial does. A task knows no sweep, store or Ray: metrics leave through `report`."""
