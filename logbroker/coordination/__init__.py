"""Coordinators: state that lives in an internal topic, one shard of it per partition.

A coordinator answers requests out of memory, and everything it must not forget is a record in its internal
topic, in Kafka's own format. This package is the machinery that all of them share; what a coordinator *does*
is a state machine that it is handed (`machine.StateMachine`). Groups and transactions are its tenants; what both need of their
topic (`topic`) and of upkeep by the clock (`rounds`) is here too.

    request -> runtime (which shard has this key?) -> the tenant's state machine: new state + records + reply
            -> shard (records of one loop tick become one batch) -> partition.append_as_leader
            -> durable: reply | refused: undo, newest first, error | failed after the append: reload from the log

What holds everywhere:

- A change is visible in memory at once, to every later event; it is *answered* only when it is durable.
- A write that the log refuses leaves no trace. A write that fails after the log took it makes the memory worthless:
  the shard answers everybody NOT_COORDINATOR, forgets all and reads the log again.
- What is read by a client that acts on it (a committed offset) waits for the writes it has seen.
- A loaded shard is the state that a fully compacted log would give: the last record of every key.

Everything here runs in the event loop's thread; nothing blocks and nothing takes a lock.
"""
