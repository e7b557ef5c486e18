"""Decodes compressed bodies. The decoded body has the same size limit as a plain one.

gzip and deflate everywhere; zstd in a gateway process, whose image has the library. Python has it from 3.14 on.
"""

from __future__ import annotations

import importlib.util
import zlib

ZSTD = "zstd"
READ = ("gzip", "deflate", *([ZSTD] if importlib.util.find_spec("zstandard") else []))
# RFC 9659: a body in HTTP needs at most this window, so a client cannot ask for more memory.
_ZSTD_WINDOW = 8 * 1024 * 1024
# Four bytes can stand for 128 KB, so this many bytes at a time become at most 8 MB.
_ZSTD_FEED = 256
_WINDOW = {"gzip": 31, "deflate": 15}


class UnreadableError(Exception):
    """The body is not what Content-Encoding says."""


class TooLargeError(Exception):
    """The decoded body is larger than the limit."""


def encoding_of(value: str) -> str:
    """The value of Content-Encoding as one lower-case name; empty if the body is not compressed."""
    name = value.strip().lower()
    return {"identity": "", "x-gzip": "gzip"}.get(name, name)


def decoded(body: bytes, encoding: str, most: int) -> bytes:
    """`body` without its encoding, at most `most` bytes. Raises UnreadableError or TooLargeError."""
    if encoding == ZSTD:
        return _from_zstd(body, most)
    reader = zlib.decompressobj(_WINDOW[encoding])
    try:
        plain = reader.decompress(body, most + 1)
    except zlib.error as error:
        raise UnreadableError(str(error)) from error
    if len(plain) > most:
        raise TooLargeError
    if not reader.eof or reader.unused_data:
        raise UnreadableError("it is not exactly one whole stream")
    return plain


def _from_zstd(body: bytes, most: int) -> bytes:
    """One frame, and nothing behind it."""
    import zstandard  # not in a replica's image

    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    pieces: list[bytes] = []
    size = at = 0
    try:
        while at < len(body) and not reader.eof:
            piece = reader.decompress(body[at : at + _ZSTD_FEED])
            at += _ZSTD_FEED
            size += len(piece)
            if size > most:
                raise TooLargeError
            pieces.append(piece)
    except zstandard.ZstdError as error:
        raise UnreadableError(str(error)) from error
    if not reader.eof or reader.unused_data or at < len(body):
        raise UnreadableError("it is not exactly one whole frame")
    return b"".join(pieces)
