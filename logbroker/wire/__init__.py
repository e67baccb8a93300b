"""The Kafka protocol, sans I/O: schemas, compiled codecs, headers, frames and the registry of APIs.

`api` says what exists, `messages/` holds one module of plain classes per API, `codec` turns frames into
them and back, `headers` and `frames` do what surrounds a message, and `primitives` is for whoever writes
a record format by hand. Nothing here reads a socket or keeps state between messages.
"""
