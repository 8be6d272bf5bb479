"""A certificate authority that nobody knows, and what it signed for a server on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Authority:
    """PEM files. certificate: the authority's own. server: certificate and key of a server at 127.0.0.1."""

    certificate: Path
    server: Path

    @classmethod
    def make(cls, directory: Path) -> Authority:
        """Make both in `directory`, valid for the next hour."""
        directory.mkdir(parents=True, exist_ok=True)
        key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        own_name, server_name = _name("The tests' own authority"), _name("127.0.0.1")
        own = _certificate(own_name, own_name, key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        server = _certificate(server_name, own_name, server_key.public_key()).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        authority = cls(directory / "authority.pem", directory / "server.pem")
        authority.certificate.write_bytes(own.sign(key, SHA256()).public_bytes(Encoding.PEM))
        private = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        authority.server.write_bytes(private + server.sign(key, SHA256()).public_bytes(Encoding.PEM))
        return authority


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
