"""One call of a webhook: its body, its signatures, the addresses it may go to, and the sending of it.

The dispatcher makes calls for deliveries, and operators and the console try an endpoint with a test message.
"""
