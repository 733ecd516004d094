"""The forges whose deliveries Slipway reads. docs/forges.md says how to add one."""

from collections.abc import Callable, Mapping

from services.webhooks.forges import bitbucket, bitbucket_data_center, gitea, github, gitlab
from services.webhooks.forges.port import Forge

FORGES: Mapping[str, Callable[[], Forge]] = {
    github.FORGE: github.GitHub,
    gitlab.FORGE: gitlab.GitLab,
    bitbucket.FORGE: bitbucket.Bitbucket,
    bitbucket_data_center.FORGE: bitbucket_data_center.BitbucketDataCenter,
    gitea.FORGE: gitea.Gitea,
}
"""Constructors by the forge's name in the catalogue."""
