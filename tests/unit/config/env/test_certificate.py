"""Certificates: the refusals and their words, the names that they cover, and when the self-signed one is replaced."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.site import new_home
from tollgate.config.env import certificate
from tollgate.config.env import settings as env
from tollgate.config.env.certificate import SELF_SIGNED, Certificate
from tollgate.config.env.settings import Settings
from tollgate.errors import InputError, TollgateError
from tollgate.render.output import prune
from tollgate.render.tls import metric, render_tls
from tollgate.render.watchers import WATCHERS
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.certificates import self_signed
from tollgate.stack.certificates import serve as certificates
from tollgate.stack.deploy import render
from tollgate.stack.deployment import Deployment
from tollgate.stack.secrets import publish
from tollgate.stack.secrets import store as secrets
from tollgate.stack.secrets.nginx_read import nginx_has_read_it, nginx_to_reload

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = ("gateway.example", "10.1.2.3")


def parts(now: datetime = NOW) -> tuple[str, str]:
    """Certificate and key as an operator has them, in two files."""
    text = self_signed.make(NAMES, now).reveal()
    start = text.index("-----BEGIN CERTIFICATE")
    return text[start:], text[:start]


class Files:
    def __init__(self, directory: Path, now: datetime = NOW) -> None:
        self.certificate, self.key = directory / "gateway.pem", directory / "gateway.key"
        for file, text in zip((self.certificate, self.key), parts(now), strict=True):
            file.write_text(text)

    def read(self, now: datetime = NOW) -> Certificate:
        return certificate.read(self.certificate, self.key, now)

    def refused(self, now: datetime = NOW) -> list[str]:
        with pytest.raises(InputError) as caught:
            self.read(now)
        assert not self.key.exists() or self.key.read_text()[40:80] not in str(caught.value)
        return [problem.message for problem in caught.value.problems]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_certificate_and_its_key_are_read(files: Files) -> None:
    found = files.read()
    assert found.names == NAMES
    assert found.not_after - NOW == self_signed.LIFE
    assert found.bundle.reveal().count("-----BEGIN") == 2
    assert "PRIVATE" not in found.chain
    assert "PRIVATE" not in repr(found)


def test_what_it_is_signed_by_follows_it(files: Files, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Files(tmp_path / "other").certificate.read_text()
    files.certificate.write_text(files.certificate.read_text() + other)
    assert files.read().chain.endswith(other)
    files.certificate.write_text(other + parts()[0])  # the wrong way round: the first is not the key's
    assert len(files.refused()) == 1


def test_another_s_key_is_refused(files: Files) -> None:
    files.key.write_text(parts()[1])
    assert files.refused() == [f"is not the key of the certificate in {files.certificate}"]


def test_an_expired_one_is_refused_and_one_second_before_it_is_not(files: Files) -> None:
    end = NOW + self_signed.LIFE
    assert files.refused(end) == [f"expired on {end:%Y-%m-%d %H:%M} UTC"]
    assert files.read(end - timedelta(seconds=1)).ends_soon(end - timedelta(seconds=1))
    assert not files.read().ends_soon(NOW)


def test_one_of_tomorrow_is_refused(files: Files) -> None:
    assert files.refused(NOW - timedelta(days=1)) == ["is not valid before 2026-11-21 11:00 UTC"]


def test_everything_wrong_is_said_at_once(files: Files) -> None:
    files.key.unlink()
    files.certificate.write_text("hello")
    assert sorted(files.refused()) == ["No such file or directory", "has no readable certificate"]


@pytest.mark.parametrize("text", ["hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(files: Files, text: str) -> None:
    files.key.write_text(text + " " * 80)
    assert files.refused() == ["has no readable private key"]


def test_a_key_with_a_passphrase_is_refused(files: Files) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    files.key.write_bytes(locked)
    assert files.refused() == ["is encrypted with a passphrase"]


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("gateway.example", True),
        ("10.1.2.3", True),
        ("a.wild.example", True),
        ("wild.example", False),
        ("a.b.wild.example", False),
        ("other.example", False),
    ],
)
def test_which_names_it_covers(files: Files, host: str, covered: bool) -> None:
    found = replace(files.read(), names=(*NAMES, "*.wild.example"))
    assert found.covers(host) is covered


def settings(*lines: str) -> Settings:
    return env.parse("\n".join(lines), Path(".env"))


def test_a_name_it_lacks_is_said_before_a_client_says_it(files: Files) -> None:
    now = Files(files.key.parent, datetime.now(UTC)).read(datetime.now(UTC))
    [said] = certificates.odd(now, settings("GATEWAY_HOSTS=gateway.example, other.example"))
    assert "does not name other.example" in said
    assert certificates.odd(now, settings("GATEWAY_HOSTS=gateway.example")) == []
    assert certificates.odd(None, settings()) == []
    of_months = replace(now, not_before=datetime.now(UTC) - timedelta(days=70))
    [said] = certificates.odd(replace(of_months, not_after=datetime.now(UTC) + timedelta(days=20)), settings())
    assert "ends on" in said
    # One of a week is renewed by itself, in its last third.
    of_a_week = replace(now, not_before=datetime.now(UTC) - timedelta(days=5))
    assert certificates.odd(replace(of_a_week, not_after=datetime.now(UTC) + timedelta(days=2)), settings()) == []
    assert certificates.odd(replace(of_a_week, not_after=datetime.now(UTC) + timedelta(days=1)), settings()) != []


# ---- ours


def test_ours_is_made_once_and_again_for_other_names_or_near_its_end(tmp_path: Path) -> None:
    site = Site.here(tmp_path)
    path = site.secrets_dir / SELF_SIGNED
    wanted = settings("TLS=self-signed", "GATEWAY_HOSTS=gateway.example")
    assert not self_signed.ensure(site, settings(), NOW)
    assert not path.exists()
    assert self_signed.ensure(site, wanted, NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert certificate.read(path, path, NOW).names == ("gateway.example", "localhost", "127.0.0.1")
    assert not self_signed.ensure(site, wanted, NOW)
    assert self_signed.ensure(site, settings("TLS=self-signed", "GATEWAY_HOSTS=gw.example"), NOW)
    assert self_signed.ensure(site, wanted, NOW)
    assert not self_signed.ensure(site, wanted, NOW + self_signed.LIFE - timedelta(days=31))
    assert self_signed.ensure(site, wanted, NOW + self_signed.LIFE - timedelta(days=29))
    path.write_text("broken")
    assert self_signed.ensure(site, wanted, NOW)


def test_python_trusts_ours_and_nothing_it_signed(tmp_path: Path) -> None:
    site = Site.here(tmp_path)
    self_signed.ensure(site, settings("TLS=self-signed"))
    path = site.secrets_dir / SELF_SIGNED
    context = ssl.create_default_context(cafile=str(path))
    assert len(context.get_ca_certs()) == 0, "a certificate that may sign others is one a thief can use"
    assert context.cert_store_stats()["x509"] == 1


# ---- into the stack


def home(tmp_path: Path, *lines: str) -> Site:
    site = new_home(tmp_path / "home", *lines)
    secrets.ensure(site)
    self_signed.ensure(site, configuration.settings(site))
    return site


def test_the_key_reaches_nginx_alone_and_no_rendered_file(tmp_path: Path) -> None:
    site = home(tmp_path, "TLS=self-signed")
    loaded = configuration.load(site)
    assert loaded.certificate is not None
    published = publish.published(site, loaded.settings)
    holders = [(one.service, one.name, one.uid) for one in published if "PRIVATE KEY" in one.content.reveal()]
    assert holders == [("nginx", "tls.pem", 65520)]
    assert not [file.path for file in render.rendered_files(site, loaded, list(WATCHERS)) if "PRIVATE" in file.text]


ASKED = ("ACME_EMAIL=a@gateway.example", "GATEWAY_HOSTS=gateway.example")


@pytest.mark.parametrize(
    ("tls", "files"),
    [("off", []), ("self-signed", ["compose/tls.yaml"]), ("acme", ["compose/tls.yaml", "compose/acme.yaml"])],
)
def test_the_port_is_rendered_where_tls_is_on(tmp_path: Path, tls: str, files: list[str]) -> None:
    site = home(tmp_path, f"TLS={tls}", *ASKED)
    loaded = configuration.load(site)
    rendered = render_tls(site.root, loaded.settings, loaded.certificate, loaded.acme_authorities)
    assert [str(file.path) for file in rendered] == files


def test_an_acme_server_of_ones_own_is_trusted_by_who_asks_it(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_text(self_signed.make(("ca.example",), NOW).reveal())
    site = home(tmp_path, "TLS=acme", *ASKED, f"ACME_CA_BUNDLE={trusted}")
    loaded = configuration.load(site)
    _, compose, bundle = render_tls(site.root, loaded.settings, loaded.certificate, loaded.acme_authorities)
    assert "LEGO_CA_CERTIFICATES: /etc/acme/ca.crt" in compose.text
    assert (str(bundle.path), "PRIVATE KEY" in bundle.text) == ("acme/ca.crt", False)


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (("TLS=acme",), {"ACME_EMAIL", "GATEWAY_HOSTS"}),
        (("TLS=acme", "ACME_EMAIL=a@b.example", "GATEWAY_HOSTS=*.b.example,10.0.0.1"), {"GATEWAY_HOSTS"}),
        (("ACME_DIRECTORY=http://ca.example/dir",), {"ACME_DIRECTORY"}),
        (("ACME_EMAIL=a b",), {"ACME_EMAIL"}),
    ],
)
def test_what_no_acme_server_would_give_is_refused(tmp_path: Path, lines: tuple[str, ...], names: set[str]) -> None:
    with pytest.raises(InputError) as caught:
        settings(*lines)
    assert {problem.path for problem in caught.value.problems} == names


def test_a_render_leaves_the_metrics_of_others(tmp_path: Path) -> None:
    site = home(tmp_path)
    other = site.rendered_dir / "metrics" / "backup.prom"
    other.parent.mkdir(parents=True)
    other.write_text("x 1\n")
    prune(site.rendered_dir, render.rendered_files(site, configuration.load(site), list(WATCHERS)))
    assert other.exists()


def test_the_metric_is_the_end(files: Files) -> None:
    found, chosen = files.read(), settings("TLS=files", "TLS_CERTIFICATE=/c", "TLS_KEY=/k")
    text = metric(chosen, found).text
    assert f"tollgate_certificate_expiry_timestamp_seconds {int(found.not_after.timestamp())}\n" in text
    listed = (Site.here().root / "tests" / "fixtures" / "metrics" / "certificate.txt").read_text().splitlines()[1:]
    assert [line.split()[0] for line in text.splitlines() if not line.startswith("#")] == listed
    assert "expiry" not in metric(settings(), None).text
    assert "tollgate_tls_enabled 0\n" in metric(settings(), None).text
    # The acme service reports the end of a fetched certificate. The self-signed one before it is valid for years.
    fetching = metric(settings("TLS=acme", *ASKED), found).text
    assert "tollgate_tls_enabled 1\n" in fetching
    assert "expiry" not in fetching


def test_an_operator_s_broken_files_are_told_with_everything_else(tmp_path: Path) -> None:
    site = home(tmp_path, "TLS=files", f"TLS_CERTIFICATE={tmp_path}/none.pem", f"TLS_KEY={tmp_path}/none.key")
    (site.tenants_dir / "example.yaml").write_text("tenant: 1\n")
    with pytest.raises(InputError) as caught:
        configuration.load(site)
    assert {problem.file.name for problem in caught.value.problems} == {"none.pem", "none.key", "example.yaml"}


def test_another_certificate_is_a_reason_to_reload_and_none_to_recreate(tmp_path: Path) -> None:
    site = home(tmp_path, "TLS=self-signed")
    loaded = configuration.load(site)
    labels = []
    for _ in range(2):
        published = publish.published(site, loaded.settings)
        publish.write(site.rendered_dir / "secrets", [one for one in published if one.service == "nginx"], "none")
        assert nginx_to_reload(site)
        nginx_has_read_it(site)
        assert not nginx_to_reload(site)
        labels.append(publish.digest(published, render.PARTS["NGINX"][1]))
        (site.secrets_dir / SELF_SIGNED).unlink()
        self_signed.ensure(site, loaded.settings)
    assert labels[0] == labels[1]


def test_without_tls_there_is_no_certificate_to_show(tmp_path: Path) -> None:
    with pytest.raises(TollgateError, match="TLS is off"):
        certificates.current(Deployment.of(home(tmp_path)))


def test_replicas_get_only_the_certificates_of_the_ca_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("# a comment of somebody's\n" + parts()[0])
    site = home(tmp_path, f"CA_BUNDLE={bundle}")
    files = {
        str(file.path): file.text for file in render.rendered_files(site, configuration.load(site), list(WATCHERS))
    }
    assert files["litellm/ca.crt"] == parts_of(bundle)
    assert "TOLLGATE_AUTHORITIES" in files["compose/replicas.yaml"]
    bundle.write_text("hello")
    with pytest.raises(InputError, match="has no readable certificate") as caught:
        configuration.load(site)
    assert caught.value.problems[0].path == "CA_BUNDLE"


def parts_of(bundle: Path) -> str:
    return bundle.read_text().partition("\n")[2]
