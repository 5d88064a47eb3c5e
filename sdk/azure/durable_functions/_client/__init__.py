"""Parts of the durable client: ``requests`` is pure, the shells around it send.

The values live here and are re-exported where the reference has them, under ``models``; nothing here but the two
client classes imports ``models``, whose ``__init__`` loads the client.
"""
