"""What the doctor says of the certificate that is really served: a TLS server here stands where nginx would."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.config.certificate import read
from tollgate.errors import TollgateError
from tollgate.stack import certificates, configuration, secrets, self_signed
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import Configuration
from tollgate.stack.doctor.running import _certificate


@contextmanager
def serving(bundle: Path) -> Iterator[tuple[str, int]]:
    """One TLS server with this key and certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, context.wrap_socket(connection, server_side=True) as encrypted:
                    encrypted.recv(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


@pytest.fixture
def configured(tmp_path: Path) -> Configuration:
    site = new_home(tmp_path / "home", "TLS=self-signed", "GATEWAY_HOSTS=gateway.example")
    secrets.ensure(site)
    self_signed.ensure(site, configuration.settings(site))
    return configuration.load(site)


def bundle(directory: Path, text: str) -> Path:
    file = directory / "served.pem"
    file.write_text(text)
    return file


def said(monkeypatch: pytest.MonkeyPatch, configured: Configuration, place: tuple[str, int]) -> list[tuple[str, str]]:
    monkeypatch.setattr(Compose, "address", lambda *_: place)
    compose = Compose("t", (), Path("compose.env"))
    return [(finding.level, finding.message) for finding in _certificate(compose, configured)]


def test_the_one_on_disk_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: Configuration) -> None:
    wanted = configured.certificate
    assert wanted is not None
    with serving(bundle(tmp_path, wanted.bundle.reveal())) as place:
        [(level, message)] = said(monkeypatch, configured, place)
    assert (level, "gateway.example" in message) == ("PASS", True)


def test_twin_another_one_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: Configuration) -> None:
    other = bundle(tmp_path, self_signed.make(("gateway.example",), datetime.now(UTC)).reveal())
    with serving(other) as place:
        [(level, message)] = said(monkeypatch, configured, place)
        assert certificates.served(Compose("t", (), Path("compose.env"))) == read(other, other).fingerprint
    assert (level, message) == ("FAIL", "nginx serves another one than lies on disk")


def test_nobody_serves_any(monkeypatch: pytest.MonkeyPatch, configured: Configuration) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = free.getsockname()
    [(level, message)] = said(monkeypatch, configured, place)
    assert (level, message.startswith("no TLS on 127.0.0.1:")) == ("FAIL", True)


def test_without_tls_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, configured: Configuration) -> None:
    monkeypatch.setattr(Compose, "address", lambda *_: pytest.fail("asked"))
    [finding] = _certificate(Compose("t", (), Path("x")), replace(configured, certificate=None))
    assert finding.level == "SKIP"


def test_a_reload_before_the_first_deploy_says_so(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home", "TLS=self-signed")
    with pytest.raises(TollgateError, match="TLS is not deployed yet"):
        certificates.reload(site, None)  # type: ignore[arg-type]
