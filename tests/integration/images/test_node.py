from embedded.images.provision import ensure
from tests.apps.engine import Scratch

_PROGRAM = """
const fs = require("fs"), os = require("os"), tls = require("tls"), zlib = require("zlib");
console.log(JSON.stringify({
  user: os.userInfo().username, version: process.versions.node, intl: new Intl.NumberFormat("de").format(1234.5),
  trusted: tls.getCACertificates ? tls.getCACertificates("extra").length > 0 : true, zip: zlib.gzipSync("x").length > 0,
}));
"""


def test_node_and_npm_run_as_a_user_without_rights(registry: str, engine: Scratch) -> None:
    """Node has its parts and the machine's certificates; npm and a shell are there for Dockerfiles."""
    image = ensure(["node"], registry)["node"].reference
    container = engine.run(image, "node", "-e", _PROGRAM, options=("--user", "1000"))
    assert engine.wait(container) == 0, engine.logs(container)
    assert '"user":"node","version":"22.' in engine.logs(container)
    assert '"intl":"1.234,5","trusted":true' in engine.logs(container)
    npm = engine.run(image, "sh", "-c", "cd /tmp && npm --version && npx --version && env node --version", options=("--env", "HOME=/tmp"))
    assert engine.wait(npm) == 0, engine.logs(npm)
