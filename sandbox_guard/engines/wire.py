"""What the pool and a worker say to each other over two pipes: frames of a length and that many bytes.

A request is one frame of JSON (`{"sql", "tables": [names]}`), then one Arrow stream for each table. A reply is
one frame: an Arrow stream, or empty where anything at all went wrong.
"""

from __future__ import annotations

import os
import select
import struct
import time
from typing import IO

import pyarrow as pa

LENGTH = struct.Struct("<Q")


def send(pipe: IO[bytes], body: bytes | memoryview) -> None:
    pipe.write(LENGTH.pack(len(body)))
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    """The next frame. EOFError where the other side is gone."""
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    body = pipe.read(size)
    if body is None or len(body) != size:
        raise EOFError
    return body


def send_by(deadline: float, pipe: int, body: bytes | memoryview) -> None:
    """The same to a pipe that does not block. TimeoutError (an OSError) at the deadline of `time.monotonic`."""
    for part in (memoryview(LENGTH.pack(len(body))), memoryview(body)):
        while part:
            _ready(deadline, pipe, select.POLLOUT)
            part = part[os.write(pipe, part) :]


def receive_by(deadline: float, pipe: int) -> bytearray:
    (length,) = LENGTH.unpack(_exactly_by(deadline, pipe, LENGTH.size))
    return _exactly_by(deadline, pipe, length)


def _exactly_by(deadline: float, pipe: int, size: int) -> bytearray:
    body = bytearray(size)
    left = memoryview(body)
    while left:
        _ready(deadline, pipe, select.POLLIN)
        read = os.readv(pipe, [left])
        if read == 0:
            raise EOFError
        left = left[read:]
    return body


def _ready(deadline: float, pipe: int, event: int) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def packed(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return memoryview(sink.getvalue())


def unpacked(body: bytes | bytearray) -> pa.Table:
    with pa.ipc.open_stream(body) as stream:
        return stream.read_all()
