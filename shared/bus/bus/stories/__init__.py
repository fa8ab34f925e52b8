"""Stories: what the log tells of each task, from its request to its end."""
