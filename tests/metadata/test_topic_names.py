"""Topic names against a rule written a second time, in other words."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.metadata.topic_names import collision_key, is_internal, may_collide, name_problem

LEGAL = string.ascii_letters + string.digits + "._-"


@given(st.text(alphabet=LEGAL, min_size=1, max_size=249).filter(lambda name: name not in {".", ".."}))
def test_every_name_of_legal_characters_is_allowed(name):
    assert name_problem(name) is None


@given(st.text(max_size=260))
def test_a_name_is_allowed_exactly_if_it_can_be_a_folder_of_ours(name):
    allowed = 0 < len(name) <= 249 and name not in {".", ".."} and all(letter in LEGAL for letter in name)
    assert (name_problem(name) is None) == allowed


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "Topic name is invalid: the empty string is not allowed"),
        (".", "Topic name is invalid: '.' is not allowed"),
        ("..", "Topic name is invalid: '..' is not allowed"),
        (
            "a/b",
            (
                "Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and "
                "'-'"
            ),
        ),
        (
            "new\n",
            (
                "Topic name is invalid: 'new\n' contains one or more characters other than ASCII alphanumerics, '.', '_' "
                "and '-'"
            ),
        ),
        (
            "x" * 250,
            f"Topic name is invalid: the length of '{'x' * 250}' is longer than the max allowed length 249",
        ),
    ],
)
def test_problems_are_told_in_kafkas_words(name, problem):
    assert name_problem(name) == problem


@given(st.text(alphabet="ab._", min_size=1, max_size=6), st.text(alphabet="ab._", min_size=1, max_size=6))
def test_names_collide_exactly_if_they_differ_in_dots_against_underscores_only(one, other):
    collide = len(one) == len(other) and all(
        a == b or {a, b} == {".", "_"} for a, b in zip(one, other, strict=True)
    )
    assert (collision_key(one) == collision_key(other)) == collide
    if collide and one != other:
        assert may_collide(one)
        assert may_collide(other)


def test_the_topics_of_coordinators_are_internal():
    assert [
        name
        for name in ("__consumer_offsets", "__transaction_state", "__share_group_state", "__x")
        if is_internal(name)
    ] == [
        "__consumer_offsets",
        "__transaction_state",
        "__share_group_state",
    ]
