"""From a question to rows: plan, runners, and the driver that holds them together."""
