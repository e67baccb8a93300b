"""The consumer group protocol (KIP-848): members send heartbeats, the coordinator assigns.

    group epoch        rises with everything that asks for another assignment: members, subscriptions, topics
    target assignment  what every member is to have, computed by a server-side assignor for one group epoch
    current assignment what a member has; moved towards the target by its own heartbeats (`reconcile`): it gives up first,
                       takes the target's epoch, and gets what others have given up

`member`, `group` and `changes` are the data and how it changes, `assignors` compute targets, `protocol` answers heartbeats
and time, `classic_members` answers members that still speak the classic protocol, `conversion` turns one kind of group into
the other, `records` is the state as records. Everything here is pure: time and topics are handed in, replies and records are
handed out, and every change can be taken back.
"""
