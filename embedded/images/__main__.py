"""`python -m embedded.images`: assemble images and put them where they are pulled from."""

import argparse
import json
import sys

from embedded.images.catalogue import RECIPES, UnknownImageError, everything
from embedded.images.packages import PackageUnavailableError
from embedded.images.provision import EngineRefusedError, ensure, load
from embedded.images.registry import RegistryRefusedError


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 done, 1 failed, 2 wrong usage (an unknown image among it)."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "list":
            _say(
                {name: ", ".join(recipe.versions) for name, recipe in RECIPES.items()},
                options.json,
            )
        elif options.verb == "load":
            _say(
                {name: load(name, engine=options.engine) for name in options.names},
                options.json,
            )
        else:
            made = ensure(options.names or everything(), options.registry, fresh=options.fresh)
            _say({name: image.reference for name, image in made.items()}, options.json)
    except UnknownImageError as unknown:
        sys.stderr.write(f"{unknown}\n")
        return 2
    except (PackageUnavailableError, RegistryRefusedError, EngineRefusedError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded.images", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the images that can be assembled, with their versions")
    to_registry = verbs.add_parser("ensure", help="make images present in a registry (all, if none is named)")
    to_registry.add_argument("--registry", required=True, metavar="HOST:PORT")
    to_registry.add_argument("--fresh", action="store_true", help="assemble again, from the newest packages")
    to_registry.add_argument("names", nargs="*", metavar="NAME[:VERSION]")
    to_engine = verbs.add_parser("load", help="load images into the container engine, without a registry")
    to_engine.add_argument("--engine", metavar="ADDRESS", help="for example unix:///var/run/docker.sock")
    to_engine.add_argument("names", nargs="+", metavar="NAME[:VERSION]")
    return parser


def _say(answers: dict[str, str], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{json.dumps(answers)}\n")
    else:
        for name, answer in answers.items():
            sys.stdout.write(f"{name:12} {answer}\n")


if __name__ == "__main__":
    sys.exit(main())
