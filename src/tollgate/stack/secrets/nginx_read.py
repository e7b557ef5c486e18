"""Records which files and which certificate nginx has read, so that a deploy knows whether nginx must reload."""

from __future__ import annotations

from pathlib import PurePosixPath

from tollgate import disk
from tollgate.render.output import Rendered, digest
from tollgate.site import Site
from tollgate.stack.secrets import publish


def nginx_to_reload(site: Site) -> bool:
    """True if nginx's files or certificate differ from those that it last read."""
    mark = site.nginx_read_file
    return not mark.is_file() or mark.read_text() != _nginx_digest(site)


def nginx_has_read_it(site: Site) -> None:
    """Record that nginx has read its present files and certificate."""
    disk.replace(site.nginx_read_file, _nginx_digest(site))


def _nginx_digest(site: Site) -> str:
    directory = site.nginx_dir
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    files = [Rendered(PurePosixPath(path.relative_to(directory)), path.read_text()) for path in paths]
    # This user may not be able to read the certificate, which belongs to nginx's user. So use its published digest.
    return digest([*files, Rendered(PurePosixPath("tls"), publish.known(site.published_dir, "nginx"))])
