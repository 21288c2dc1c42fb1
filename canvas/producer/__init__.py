"""From a call to messages with addresses."""
