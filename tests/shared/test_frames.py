"""Server-sent events, cut out of bytes that arrive as they like."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.frames import Frame, FrameReader, FrameTooLarge

STREAM = (
    b'data: {"one":1}\n\n'
    b": a comment\n\n"
    b"event: message_start\ndata: two\n\n"
    b"event: x\r\ndata:three\r\ndata: lines\r\nid: 7\r\n\r\n"
    b"data: [DONE]\r\r"
)
FRAMES = [("", b'{"one":1}'), ("message_start", b"two"), ("x", b"three\nlines"), ("", b"[DONE]")]


def read(*pieces: bytes) -> list[Frame]:
    reader = FrameReader()
    found = [frame for piece in pieces for frame in reader.feed(piece)]
    return [*found, *reader.end()]


def test_every_line_end_of_the_standard_is_read() -> None:
    assert [(frame.event, frame.data) for frame in read(STREAM)] == FRAMES


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_the_cuts_of_the_network_change_nothing(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[one:other] for one, other in itertools.pairwise(edges)]
    assert [(frame.event, frame.data) for frame in read(*pieces)] == FRAMES


@given(st.lists(st.sampled_from([b"data: x", b"data:y", b"event: e", b": c", b"data", b"\n", b"\n\n", b"\r\n"])))
def test_whole_events_are_read_as_they_are_byte_by_byte(parts: list[bytes]) -> None:
    stream = b"".join(parts) + b"\n\n"
    bytewise = read(*(stream[at : at + 1] for at in range(len(stream))))
    assert [frame[1:] for frame in read(stream)] == [frame[1:] for frame in bytewise]
    assert [frame[1:] for frame in read(b"data: 0\n\n", stream)][1:] == [frame[1:] for frame in bytewise]


def test_an_event_keeps_its_bytes() -> None:
    assert b"".join(frame.raw for frame in read(b"data: 1\n\nevent: a\ndata: 2\r\n\r\n")) == (
        b"data: 1\n\nevent: a\ndata: 2\r\n\r\n"
    )


def test_a_mark_of_byte_order_is_no_part_of_the_first_event() -> None:
    assert read(b"\xef", b"\xbb\xbfdata: 1\n\n")[0].data == b"1"


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert [frame.data for frame in read(b"data: 1\n\ndata: 2")] == [b"1", b"2"]


def test_an_event_without_end_is_refused() -> None:
    reader = FrameReader(largest=1000)
    assert not list(reader.feed(b"d" * 1000))
    with pytest.raises(FrameTooLarge):
        list(reader.feed(b"d"))


def test_many_small_pieces_are_searched_once() -> None:
    """A search from the start for each byte would take minutes."""
    reader = FrameReader()
    for _ in range(300_000):
        assert not list(reader.feed(b"x"))
