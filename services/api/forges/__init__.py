"""Forges at which hooks are made: one file each, and the table of them."""

from collections.abc import Mapping

from services.api.forges import bitbucket, bitbucket_data_center, gitea, github, gitlab
from services.api.forges.port import HookForm

HOOKS: Mapping[str, HookForm] = {
    "github": github.FORM,
    "gitlab": gitlab.FORM,
    "bitbucket": bitbucket.FORM,
    "bitbucket-data-center": bitbucket_data_center.FORM,
    "gitea": gitea.FORM,
}
