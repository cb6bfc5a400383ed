# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that nobody trusts, and a server certificate for the name `localhost` alone."""
import subprocess
from pathlib import Path


def _openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True, timeout=60)


def make_certificates(folder: Path) -> None:
    """Leaves ca.pem, server.pem, server.key and stranger.pem (another authority) in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ca", "stranger"):
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                 "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN=boardbus test {name}", cwd=folder)
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out", "server.csr",
             "-subj", "/CN=localhost", cwd=folder)
    (folder / "server.ext").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    _openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.pem",
             "-days", "2", "-extfile", "server.ext", cwd=folder)
    for key in folder.glob("*.key"):
        key.chmod(0o644)  # Erlang and Redis read it as whoever they are; it protects nothing.
