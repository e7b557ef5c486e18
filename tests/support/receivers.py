"""Those whom alerts reach: a mail server and an HTTP server on loopback, which keep what they are sent.

The mail server speaks as much of SMTP as a sender needs: EHLO, STARTTLS, AUTH PLAIN, one message after another.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer, StreamRequestHandler, ThreadingTCPServer
from typing import Any

from tollgate.config.env.settings import parse
from tollgate.render.receivers import Receivers

# Every way by which alerts go out.
EVERY_WAY = """ALERT_EMAIL_TO=ops@example.com, night@example.com
ALERT_EMAIL_FROM=tollgate@example.com
ALERT_SMTP=mail.example.com:587
ALERT_SMTP_USER=tollgate
ALERT_SMTP_PASSWORD=a-password-of-the-mail-server
ALERT_SLACK_URL=https://hooks.slack.example/services/T0/B0/token
ALERT_WATCHDOG_URL=https://watch.example/ping/token
"""


def receivers(text: str = EVERY_WAY, *, webhook: bool = True) -> Receivers:
    """What .env with these lines makes of the receivers."""
    return Receivers.of(parse(text, Path(".env")), webhook=webhook)


@dataclass
class Mail:
    """One message as it came: the addresses of the envelope, who logged in and how, and the text."""

    sender: str
    recipients: list[str]
    login: tuple[str, str] | None
    encrypted: bool
    message: Message

    @property
    def text(self) -> str:
        """Every part of the message, decoded."""
        parts = [part.get_payload(decode=True) for part in self.message.walk() if not part.is_multipart()]
        return "\n".join(part.decode() for part in parts if isinstance(part, bytes))


@dataclass
class MailServer:
    """With `tls` it offers STARTTLS, and lets nobody log in before."""

    tls: ssl.SSLContext | None = None
    mails: list[Mail] = field(default_factory=list)
    connections: int = 0
    port: int = 0


@dataclass
class Post:
    path: str
    body: Any


@dataclass
class Posts:
    url: str = ""
    posts: list[Post] = field(default_factory=list)

    def to(self, path: str) -> list[Any]:
        return [post.body for post in self.posts if post.path == path]


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None) -> Iterator[MailServer]:
    kept = MailServer(tls)

    class Session(StreamRequestHandler):
        def handle(self) -> None:
            kept.connections += 1
            conversation = _Conversation(self, kept)
            try:
                conversation.run()
            finally:
                conversation.close()

    with _served(ThreadingTCPServer(("127.0.0.1", 0), Session)) as port:
        kept.port = port
        yield kept


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None) -> Iterator[Posts]:
    kept = Posts()

    class Request(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.posts.append(Post(self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with _served(server) as port:
        kept.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield kept


@contextmanager
def _served(server: BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Conversation:
    """One connection to the mail server."""

    def __init__(self, session: StreamRequestHandler, kept: MailServer) -> None:
        self.kept, self.socket = kept, session.connection
        self.stream = self.socket.makefile("rwb")
        self.encrypted = False
        self.login: tuple[str, str] | None = None

    def run(self) -> None:
        self.say("220 mail.example.com")
        sender, recipients = "", list[str]()
        for word, rest in iter(self.heard, ("QUIT", "")):
            if word == "EHLO":
                self.say(*self.offers())
            elif word == "STARTTLS" and self.kept.tls is not None:
                self.say("220 go ahead")
                self.encrypt(self.kept.tls)
            elif word == "AUTH" and self.encrypted:
                _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                self.login = (user, password)
                self.say("235 welcome")
            elif word == "MAIL":
                sender, recipients = _address(rest), []
                self.say("250 ok")
            elif word == "RCPT":
                recipients.append(_address(rest))
                self.say("250 ok")
            elif word == "DATA":
                self.say("354 go ahead")
                self.kept.mails.append(Mail(sender, recipients, self.login, self.encrypted, self.message()))
                self.say("250 kept")
            else:
                self.say("502 not here")
        self.say("221 bye")

    def close(self) -> None:
        self.stream.close()
        self.socket.close()

    def offers(self) -> list[str]:
        if self.kept.tls is None:
            return ["250 mail.example.com"]
        return ["250-mail.example.com", "250 AUTH PLAIN" if self.encrypted else "250 STARTTLS"]

    def encrypt(self, tls: ssl.SSLContext) -> None:
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.stream, self.encrypted = self.socket.makefile("rwb"), True

    def heard(self) -> tuple[str, str]:
        """The next command; a sender that hangs up has said QUIT."""
        word, _, rest = self.stream.readline().decode().strip().partition(" ")
        return (word.upper() or "QUIT"), rest if word.upper() not in ("", "QUIT") else ""

    def message(self) -> Message:
        lines = iter(lambda: self.stream.readline().decode().rstrip("\r\n"), ".")
        return message_from_string("\n".join(lines))

    def say(self, *lines: str) -> None:
        self.stream.write("".join(f"{line}\r\n" for line in lines).encode())
        self.stream.flush()


def _address(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]
