"""Filters as Microsoft's page writes them, over rows of the sandbox."""

from __future__ import annotations

import pytest

from provisioner.sandbox.cmdlets import CmdletError
from provisioner.sandbox.cmdlets.opath import COMMON, predicate
from provisioner.sandbox.tenant import Row

ROW: Row = {
    "DisplayName": "O'Hara [HR]",
    "Name": "ohara",
    "Guid": "8a68c198-be28-4a30-83e9-bffb760c65ba",
    "EmailAddresses": ["SMTP:ohara@contoso.com", "smtp:hr@contoso.com"],
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("EmailAddresses -eq 'HR@contoso.com'", True),
        ("EmailAddresses -eq 'smtp:hr@contoso.com'", True),
        ("EmailAddresses -eq 'hr'", False),
        ("EmailAddresses -like 'smtp:hr*'", True),
        ("EmailAddresses -like 'hr@*'", True),
        ("PrimarySmtpAddress -eq 'hr@contoso.com'", True),
        ("Guid -eq '8A68C198-be28-4a30-83e9-bffb760c65ba'", True),
        ("DisplayName -eq 'o''hara [hr]'", True),
        ('DisplayName -like "o\'hara [h*"', True),
        ("DisplayName -eq $null", False),
        ("displayname -ne $null -and Name -notlike 'o*'", False),
        ("Name -eq 'x' -or Name -eq 'ohara'", True),
        ("(Name -eq 'x' -or Name -eq 'ohara') -and -not (Guid -eq 'x')", True),
        ("Name -eq 'x' -or Name -eq 'ohara' -and Guid -eq 'x'", False),
        ("-not Name -eq 'ohara'", False),
    ],
)
def test_a_filter_says_whether_a_row_fits(text: str, fits: bool) -> None:
    assert predicate(text, COMMON)(ROW) is fits
    assert predicate("DisplayName -eq $null", COMMON)({**ROW, "DisplayName": ""})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Alias -eq 'x'", '"Alias" is not a recognized filterable property'),
        ("Name -eq", "The filter ends unexpectedly"),
        ("Name eq 'x'", "'eq' is not a comparison operator"),
        ("(Name -eq 'x' Name", "A closing parenthesis is missing"),
        ("Name -eq 'x' 'y'", "''y'' is unexpected"),
        ("Name -eq 'x", "Syntax error at position"),
        ("", "The filter ends unexpectedly"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, said: str) -> None:
    with pytest.raises(CmdletError, match=said.replace("(", "\\(")):
        predicate(text, COMMON)
