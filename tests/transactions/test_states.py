"""Every pair of a state and what may happen in it has one answer."""

import itertools

import pytest

from logbroker.base.errors import BrokerError
from logbroker.transactions import decisions
from logbroker.transactions.decisions import Answer, NeedsProducerId, Producer
from logbroker.transactions.states import AT_REST, BY_LABEL, PREPARED, PREVIOUS, State, check_transition
from logbroker.transactions.transaction import Transaction

# Kafka 4.3.1's TransactionState: number, name, what it may follow.
KAFKAS = {
    "Empty": (0, {"Empty", "CompleteCommit", "CompleteAbort"}),
    "Ongoing": (1, {"Ongoing", "Empty", "CompleteCommit", "CompleteAbort"}),
    "PrepareCommit": (2, {"Ongoing"}),
    "PrepareAbort": (3, {"Ongoing", "PrepareEpochFence", "Empty", "CompleteCommit", "CompleteAbort"}),
    "CompleteCommit": (4, {"PrepareCommit"}),
    "CompleteAbort": (5, {"PrepareAbort"}),
    "Dead": (6, {"Empty", "CompleteAbort", "CompleteCommit"}),
    "PrepareEpochFence": (7, {"Ongoing"}),
}


def test_the_states_are_kafkas():
    assert {
        state.label: (state.value, {before.label for before in PREVIOUS[state]}) for state in State
    } == KAFKAS
    assert {state.label: state for state in State} == BY_LABEL


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_step_that_the_table_lacks_is_refused(before, after):
    if before.label in KAFKAS[after.label][1]:
        check_transition(before, after)
    else:
        with pytest.raises(RuntimeError, match=f"from {before.name} to {after.name}"):
            check_transition(before, after)


NOW = 1_000_000
EVENTS = {
    "init": lambda t: decisions.initialize(t, None, 1000, NOW, None),
    "init as it is": lambda t: decisions.initialize(t, Producer(5, 3), 1000, NOW, None),
    "init as it was": lambda t: decisions.initialize(t, Producer(5, 2), 1000, NOW, None),
    "init as last": lambda t: decisions.initialize(t, Producer(5, 32_766), 1000, NOW, None),
    "init as another": lambda t: decisions.initialize(t, Producer(6, 3), 1000, NOW, None),
    "add": lambda t: decisions.add_partitions(t, Producer(5, 3), frozenset({("t", 1)}), 2, NOW),
    "add what is in": lambda t: decisions.add_partitions(t, Producer(5, 3), t.partitions, 2, NOW),
    "add fenced": lambda t: decisions.add_partitions(t, Producer(5, 2), frozenset(), 2, NOW),
    "add as another": lambda t: decisions.add_partitions(t, Producer(6, 3), frozenset(), 2, NOW),
    **{
        f"{'commit' if commit else 'abort'} v{version} {who}": (
            lambda t, commit=commit, version=version, producer=producer: decisions.end(
                t,
                producer,
                commit=commit,
                client_version=version,
                now_ms=NOW,
                fresh_producer_id=None,
            )
        )
        for commit in (True, False)
        for version in (0, 2)
        for who, producer in (
            ("now", Producer(5, 3)),
            ("before", Producer(5, 2)),
            ("long ago", Producer(5, 1)),
            ("another", Producer(6, 3)),
        )
    },
}


def outcome(event, transaction):
    try:
        decision = EVENTS[event](transaction)
    except BrokerError as error:
        return error.code.name
    except RuntimeError:
        return "never"
    if isinstance(decision, Transaction):
        return f"{decision.state.name} {decision.producer_epoch}"
    if isinstance(decision, NeedsProducerId):
        return "needs an id"
    assert isinstance(decision, Answer)
    return "NONE"


FENCED, MAPPING = "PRODUCER_FENCED", "INVALID_PRODUCER_ID_MAPPING"
BUSY, WRONG = "CONCURRENT_TRANSACTIONS", "INVALID_TXN_STATE"
PENDING_ONLY = (State.DEAD, State.PREPARE_EPOCH_FENCE)


def expected(event, state):
    """The whole table, in words."""
    if "another" in event:
        return FENCED if event.startswith("init") else MAPPING
    if event.startswith("init"):
        if state in PREPARED:
            return BUSY
        if state is State.ONGOING:
            return "PREPARE_ABORT 4"
        if state in PENDING_ONLY:
            return "never"
        return FENCED if event in ("init as it was", "init as last") else "EMPTY 4"
    if event.startswith("add"):
        if event == "add fenced":
            return FENCED
        if state in PREPARED:
            return BUSY
        if state in PENDING_ONLY:
            return "never"
        if event == "add what is in" and state is State.ONGOING:
            return "NONE"
        return "ONGOING 3"
    kind, version, who = event.split(" ", 2)
    commit, bumps = kind == "commit", version == "v2"
    prepare, complete = (
        (State.PREPARE_COMMIT, State.COMPLETE_COMMIT)
        if commit
        else (State.PREPARE_ABORT, State.COMPLETE_ABORT)
    )
    if who == "long ago" or (who == "before" and (not bumps or state not in PREPARED | AT_REST)):
        return FENCED
    if who == "before":  # the question of the last transaction, asked again
        if state is State.EMPTY:
            return FENCED
        return "NONE" if state is complete else BUSY if state is prepare else WRONG
    if bumps and state in PREPARED:
        return FENCED
    if state is State.ONGOING:
        return f"{prepare.name} {4 if bumps else 3}"
    if bumps and not commit and state in AT_REST:
        return "PREPARE_ABORT 4"
    if not bumps and state is complete:
        return "NONE"
    return BUSY if state is prepare else WRONG


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, EVENTS)))
def test_every_event_in_every_state(state, event):
    partitions = frozenset({("t", 0)}) if state in PREPARED | {State.ONGOING} else frozenset()
    transaction = Transaction(state, 5, 3, 1000, 5, partitions=partitions, started_ms=NOW - 10)
    assert outcome(event, transaction) == expected(event, state)


def test_a_retry_of_init_gets_the_same_epoch_again():
    first = EVENTS["init as it is"](Transaction(State.EMPTY, 5, 3, 1000, 5))
    assert (first.producer_epoch, first.last_epoch) == (4, 3)
    again = EVENTS["init as it is"](first)
    assert (again.producer_epoch, again.last_epoch) == (4, 3)
    # Another producer came in between: nobody may come back.
    other = decisions.initialize(first, None, 1000, NOW, None)
    assert (other.producer_epoch, other.last_epoch) == (5, -1)
    assert outcome("init as it is", other) == FENCED


def test_exhausted_epochs_lead_to_another_producer_id():
    last = Transaction(State.COMPLETE_COMMIT, 5, 32_766, 1000, 5)
    assert isinstance(decisions.initialize(last, None, 1000, NOW, None), NeedsProducerId)
    changed = decisions.initialize(last, None, 1000, NOW, 9)
    assert (changed.producer_id, changed.producer_epoch, changed.previous_producer_id) == (9, 0, 5)
    # It came anew, so whoever had the last epoch is fenced.
    assert outcome("init as last", changed) == FENCED
    # Whoever had the last epoch and goes on with another id may ask again.
    rotated = decisions.initialize(last, Producer(5, 32_766), 1000, NOW, 9)
    again = EVENTS["init as last"](rotated)
    assert (again.producer_id, again.producer_epoch, again.last_epoch) == (9, 0, 32_766)


@pytest.mark.parametrize("commit", [True, False])
def test_the_last_epoch_ends_its_transaction_and_the_next_id_goes_on(commit):
    ongoing = Transaction(State.ONGOING, 5, 32_766, 1000, 5, partitions=frozenset({("t", 0)}), started_ms=1)

    def end(transaction, fresh):
        return decisions.end(
            transaction,
            Producer(5, 32_766),
            commit=commit,
            client_version=2,
            now_ms=NOW,
            fresh_producer_id=fresh,
        )

    assert isinstance(end(ongoing, None), NeedsProducerId)
    prepared = end(ongoing, 9)
    assert (prepared.producer_id, prepared.producer_epoch, prepared.next_producer_id) == (5, 32_767, 9)
    complete = decisions.changes.completed(prepared, NOW)
    assert (complete.producer_id, complete.producer_epoch, complete.next_producer_id) == (9, 0, -1)
    assert complete.previous_producer_id == 5
    # The same question again, across the change of ids.
    assert end(complete, None) == Answer(9, 0)
