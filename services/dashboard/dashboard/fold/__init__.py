"""The fold: what the log comes to for operators; no clock, socket or thread inside."""
