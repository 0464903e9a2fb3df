"""The web application: its page, its words, its settings."""
