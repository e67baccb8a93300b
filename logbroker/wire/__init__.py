"""The Kafka protocol, sans I/O: schemas, compiled codecs, headers, frames and the registry of APIs.

Where to look:

- `api`: every API, its key, its stable versions, its header versions.
- `messages/`: one module of plain classes per API, written by `tools/generate_messages.py`.
- `schema`: what the tables in those modules mean. `compile_decoder` and `compile_encoder` turn a table into functions,
  `explain` says what is wrong with what they refuse, `codec` hands them out.
- `headers` and `frames`: what surrounds a message. `produce_reply`: the one reply that is worth a shorter way.
- `primitives`: for whoever reads or writes a format by hand.

Nothing here reads a socket or keeps state between messages. Bytes of a peer that are wrong raise `ProtocolError`, and
nothing else; a message of our own that can't be encoded raises `ValueError`.
"""
