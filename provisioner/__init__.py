"""Terraform's flow for the mail-sending part of Exchange Online: a plan in git, a change set, an apply."""

__version__ = "0.1.0"
