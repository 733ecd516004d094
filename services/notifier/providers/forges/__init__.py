"""Forges that are told of deployments: one file each behind `port.Forge`, and the table of them.

A new one: a module with a class that has `show` and a table from `states.Stage` to the forge's words, a line here, how its API is
addressed in `shared.forge_api`, and its integration test against a server that speaks that API.
"""

from collections.abc import Mapping

from services.notifier.providers.forges.api import ForgeApi
from services.notifier.providers.forges.bitbucket import Bitbucket
from services.notifier.providers.forges.bitbucket_data_center import BitbucketDataCenter
from services.notifier.providers.forges.gitea import Gitea
from services.notifier.providers.forges.github import GitHub
from services.notifier.providers.forges.gitlab import GitLab
from services.notifier.providers.forges.port import Forge, Ledger


def forges(api: ForgeApi, ledger: Ledger) -> Mapping[str, Forge]:
    """Every forge, by its kind."""
    return {
        "github": GitHub(api, ledger),
        "gitlab": GitLab(api, ledger),
        "bitbucket": Bitbucket(api),
        "bitbucket-data-center": BitbucketDataCenter(api),
        "gitea": Gitea(api),
    }
