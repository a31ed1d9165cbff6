"""Access: passwords, sessions, protection of forms, throttling of logins."""
