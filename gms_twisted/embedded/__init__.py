"""Stand-ins that make one process a whole contact centre: the chat server and the agent desk."""
