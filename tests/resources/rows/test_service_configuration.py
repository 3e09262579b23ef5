from __future__ import annotations

from typing import Any

import pytest

from provisioner.resources.rows import service_configuration

MX = {"recordType": "Mx", "mailExchange": "Contoso-com.mail.protection.outlook.com."}


def test_the_domain_is_quoted_in_the_path() -> None:
    assert service_configuration.request("a/b").path == "/domains/a%2Fb/serviceConfigurationRecords"


@pytest.mark.parametrize(
    ("rows", "host"),
    [
        ([MX], "contoso-com.mail.protection.outlook.com"),
        ([{"recordType": "Txt", "mailExchange": "other.example"}, MX], "contoso-com.mail.protection.outlook.com"),
        ([{"recordType": "Mx", "mailExchange": ""}, {"recordType": "Mx", "mailExchange": 7}], ""),
        ([{}], ""),
        ([], ""),
    ],
)
def test_the_mail_host_is_that_of_the_mx_record(rows: list[dict[str, Any]], host: str) -> None:
    assert service_configuration.mail_host(rows) == host
