"""HTTPX for servers without TLS.

Each client of HTTPX reads all certificates that the machine trusts, in 33 ms of processor time. Each call without a
client makes a client, and tests make thousands of calls. These trust nobody: a call to an https address fails, unless
the test says whom to trust.
"""

from __future__ import annotations

import ssl
from functools import partial

import httpx

NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

get = partial(httpx.get, verify=NOBODY)
head = partial(httpx.head, verify=NOBODY)
post = partial(httpx.post, verify=NOBODY)
put = partial(httpx.put, verify=NOBODY)
delete = partial(httpx.delete, verify=NOBODY)
request = partial(httpx.request, verify=NOBODY)
stream = partial(httpx.stream, verify=NOBODY)
Client = partial(httpx.Client, verify=NOBODY)
AsyncClient = partial(httpx.AsyncClient, verify=NOBODY)
