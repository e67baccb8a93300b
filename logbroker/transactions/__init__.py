"""The transaction coordinator (KIP-98, KIP-360, KIP-890), on the machinery of `coordination`.

    states       the eight states and which may follow which
    transaction  what is known of a transactional id, and the changes that Kafka makes to it; a pure value
    decisions    what a request does to it: an error, or a change; pure functions
    records      that value as a record of `__transaction_state`
    entry        one transactional id in memory: durable, pending, waited for
    machine      all transactional ids of one partition: pending changes, writes, time-outs, expiry
    markers      commit and abort markers on their way to the partitions of a transaction
    service      what the rest of the broker calls

A change is decided on the state as it is, written, and only when it is durable does the state become it; until then the
transaction has a *pending* change, and whoever else comes is told CONCURRENT_TRANSACTIONS, as in Kafka.

    EndTxn -> PREPARE_COMMIT durable -> the client is answered -> a marker in every partition -> COMPLETE_COMMIT

Once PREPARE_* is durable the outcome is fixed: markers are written until every partition has one, across restarts of the
broker. That is what keeps a transaction from being half visible, and any partition's last stable offset from hanging.
"""
