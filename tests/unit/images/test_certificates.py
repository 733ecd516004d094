"""The certificate authorities of base images."""

from embedded.images.recipes.system import authorities


def _pem(body: str) -> bytes:
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode()


def test_they_are_the_same_whether_the_local_ca_is_trusted_or_not() -> None:
    """`slipway trust` changes no base image, wherever in the bundle its CA has come to lie."""
    known = [_pem("TWljaGFlbA=="), _pem("QWRh")]
    own = _pem("U2xpcHdheQ==")
    before = authorities(b"".join(known), [])
    assert before.count(b"BEGIN CERTIFICATE") == 2
    for at in range(3):
        trusted = [*known]
        trusted.insert(at, own)
        assert authorities(b"# a comment\n".join(trusted), [own]) == before
