"""Consumer groups: who shares which partitions, and how far each group has come.

`service.GroupService` is what handlers call; `machine.GroupMachine` is the coordinator's state in one partition of
`__consumer_offsets`; `classic/` is the protocol of its groups; `offsets` holds what they committed.
"""
