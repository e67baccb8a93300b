"""The classic group protocol: members agree through the coordinator, one of them assigns (KIP-62, 134, 345, 394, 814).

`states` has the tables, `member` and `group` the data, `protocol` what each event does. Everything here is pure: time is
handed in, replies, records and deadlines are handed out.
"""
