"""Compression of the fields of workflows' runs: raw deflate with a dictionary of the words that every run has."""

import zlib
from collections.abc import Iterator, Sequence

from canvas.errors import DecodeError
from canvas.model.workflow_run import RunNode
from canvas.wire import codecs
from canvas.wire.compression import bounded

NODES_PER_CHUNK = 256
"""Nodes that are kept together."""

_LEVEL, _WINDOW, _MEMORY = 1, -12, 5
"""As zlib takes them: fast, and with little memory, for most fields have a few hundred bytes."""
_LARGEST = 1 << 30
"""Bytes of a field, at most."""
# Words that are more frequent stand nearer to the end. Stored fields need this dictionary to be read: a change of it is
# a change of the format.
_DICTIONARY = (
    b'"compensate":"group_id":"schema":"until":"seconds":"by":"size":"batch":"concurrency":"stop_after":"feeder":"feeds":'
    b'"at_most":"inside":"condition","choose","merge","otherwise","loop","pages","input","flow",{"nodes":'
    b'"any_success","any_done","none_failed","all_done","queue":"countdown":"priority":"max_retries":"expires":'
    b'"digest":"run_key":"timeout":"labels":"place":["default":{"last":[[1,"'
    b'"target":"celery"{"name":"","target":"canvas","created":"2026-01-01T00:00:00.000000+00:00","nodes":3,'
    b'"attempts":[0,0,0,0,0,0,0,0],"compensated":[]}'
    b'"map",["order","data"],"sleep",["order"],null,[],[[2,0,null]],false,null,[],[],null,false,1,"all_success",null,[],'
    b'true,{"seconds":["wait",["order"],null,[],[[2,0,null]],false,null,[],[],null,false,1,"all_success",null,[],false,'
    b'{"signal":"","task",["order"],{"task":"tasks.","args":[1,"","kwargs":{"","options":{"'
    b'[["start","start",[],null,[],[[1,0,null]],false,null,[],[],null,true],["'
    b'","task",["data"],{"task":"app.tasks.","args":[null],"kwargs":{},"options":{},"subtask_type":null,'
    b'"immutable":false},[[["args",0],0,[]]],[[3,0,null]]],["end","end",["order"],null,[],[],false,null,[],[],null,true]]'
)


def deflate(data: bytes) -> bytes:
    """The compressed bytes of a field."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=_DICTIONARY)
    return compressor.compress(data) + compressor.flush()


def inflate(data: bytes) -> bytes:
    """The bytes of a field that ``deflate`` compressed. Raises DecodeError."""
    try:
        return bounded(zlib.decompressobj(_WINDOW, zdict=_DICTIONARY), data, "a compressed field of a run", _LARGEST)
    except zlib.error as exc:
        raise DecodeError(f"not a compressed field of a run: {exc}") from exc


def encoded_chunks(nodes: Sequence[RunNode], serializer: str) -> Iterator[bytes]:
    """The nodes of a run as they are kept, before they are compressed."""
    for first in range(0, len(nodes), NODES_PER_CHUNK):
        yield codecs.encode([node.as_list() for node in nodes[first : first + NODES_PER_CHUNK]], serializer)[2]
