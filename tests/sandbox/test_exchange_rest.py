"""The admin API over a real socket: envelopes, sidecars, paging, refusals, batches."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request

from provisioner.sandbox.cmdlets import Caller
from provisioner.sandbox.exchange_front import exchange_app
from provisioner.sandbox.exchange_rest import decode_parameters, wire_row
from provisioner.sandbox.faults import Faults, TokenRefused
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.clocks import costs, until
from tests.sandbox.serving import Served, served

pytestmark = pytest.mark.part(0.5)

TENANT = "8f1c2f5e-6a1b-4c53-9d0e-3f1a7b2c4d5e"
PATH = f"/adminapi/beta/{TENANT}/InvokeCommand"
ANCHOR = {"X-AnchorMailbox": f"APP:SystemMailbox{{bb558c35-97f1-4cb9-8ff7-d53741dc928c}}@{TENANT}"}
TABLE = {"@odata.type": "#Exchange.GenericHashTable"}
_CALLERS = {
    "Bearer admin": Caller("admin", directory_roles=("Exchange Administrator",)),
    "Bearer reader": Caller("reader", directory_roles=("Global Reader",)),
    "Bearer nobody": Caller("nobody"),
}


async def verify(request: Request, resource: str) -> Caller:
    """Stands in for the token front, which has tests of its own."""
    assert resource == "https://outlook.office365.com"
    caller = _CALLERS.get(request.headers.get("authorization", ""))
    if caller is None:
        raise TokenRefused(401, {"WWW-Authenticate": "Bearer"}, b"")
    return caller


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.raw
        return list(self.json["value"])


@dataclass
class Service:
    """A running front, and a client without any cleverness: no decoding, no redirects, no retries."""

    tenant: Tenant
    faults: Faults
    port: int

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            sent = {"Authorization": "Bearer admin", "Content-Type": "application/json", **headers}
            connection.request(method, path, raw, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def run(self, name: str, parameters: Any = None, path: str = PATH, **headers: str) -> Answer:
        return self.send("POST", path, envelope(name, parameters), **headers)

    def follow(self, link: str, name: str, parameters: Any = None, **headers: str) -> Answer:
        parts = urlsplit(link)
        assert parts.netloc == f"127.0.0.1:{self.port}"
        return self.run(name, parameters, f"{parts.path}?{parts.query}", **headers)


def envelope(name: str, parameters: Any = None) -> dict[str, Any]:
    return {"CmdletInput": {"CmdletName": name, "Parameters": {} if parameters is None else parameters}}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture
def serve(server: Served, tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Service]]:
    """Run the front for a seed."""
    logs: list[Faults] = []

    def begin(seed: dict[str, Any]) -> Service:
        tenant = Tenant()
        tenant.merge(load_seed({"sandbox": 1, "tenant": {"id": TENANT}, **seed}))
        logs.append(Faults(tenant.clock, tmp_path / "requests.jsonl"))
        server.app = exchange_app(tenant, logs[-1], verify)
        return Service(tenant, logs[-1], server.port)

    yield begin
    for log in logs:
        log.close()


@pytest.fixture
def service(serve: Callable[[dict[str, Any]], Service]) -> Service:
    connectors = [{"Name": "hq", "SenderDomains": ["smtp:*;1"], "SenderIPAddresses": ["192.0.2.5"]}]
    return serve({"mailboxes": ["erp@contoso.com"], "objects": {"InboundConnector": connectors}})


def test_what_is_not_modelled_is_marked_and_answered_as_the_service_does(service: Service) -> None:
    lacking = service.run("Get-ArcConfig")
    nobody = service.run("Get-Nonsense")
    assert (lacking.status, lacking.raw) == (nobody.status, nobody.raw) == (403, b"\0" * 64)
    assert lacking.headers["x-ms-sandbox-not-modelled"] == "the cmdlet Get-ArcConfig"
    assert "x-ms-sandbox-not-modelled" not in nobody.headers
    parameter = service.run("Add-MailboxPermission", {"Identity": "erp@contoso.com", "User": "x", "Owner": "y"})
    assert (parameter.status, "Owner" in parameter.raw.decode()) == (400, True)
    assert parameter.headers["x-ms-sandbox-not-modelled"] == "the parameter -Owner of Add-MailboxPermission"
    marked = [entry.get("not_modelled") for entry in service.faults.requests_since(0)]
    assert marked == ["the cmdlet Get-ArcConfig", None, "the parameter -Owner of Add-MailboxPermission"]


SETS = f"/AdminApi/beta/{TENANT}"


def test_entity_sets_are_read_by_get_in_pages_that_need_no_anchor(serve: Callable[[dict[str, Any]], Service]) -> None:
    service = serve({"mailboxes": [f"m{number}@contoso.com" for number in range(5)]})
    first = service.send("GET", f"{SETS}/casmailbox?$select=PrimarySmtpAddress,Guid&$top=2")
    names, link = [row["PrimarySmtpAddress"] for row in first.rows], first.json["@odata.nextLink"]
    assert "DisplayName" not in first.rows[0]
    while link:
        parts = urlsplit(link)
        page = service.send("GET", f"{parts.path}?{parts.query}")
        names += [row["PrimarySmtpAddress"] for row in page.rows]
        link = page.json.get("@odata.nextLink")
    assert sorted(names) == [f"m{number}@contoso.com" for number in range(5)]
    some = service.send("GET", f"{SETS}/Recipient?$filter=primarysmtpaddress%20eq%20'm3@contoso.com'")
    assert [row["PrimarySmtpAddress"] for row in some.rows] == ["m3@contoso.com"]
    shared = service.send("GET", f"{SETS}/Mailbox?RecipientTypeDetails=SharedMailbox")
    assert shared.rows == []


def test_one_entity_comes_without_a_list_by_any_spelling_of_its_key(service: Service) -> None:
    key = base64.b64encode(b"erp@contoso.com").decode()
    for path in ("Mailbox('erp@contoso.com')", f"mailbox('{key}')?isEncoded=true", "Mailbox('erp%40contoso.com')"):
        body = service.send("GET", f"{SETS}/{path}").json
        assert (body["PrimarySmtpAddress"], "value" in body) == ("erp@contoso.com", False)
    assert service.send("GET", f"{SETS}/Mailbox('nobody@contoso.com')").status == 404
    permissions = service.send("GET", f"{SETS}/Mailbox('erp@contoso.com')/MailboxPermission").json["value"]
    assert [row["PermissionList"][0]["AccessRights"] for row in permissions] == [r["AccessRights"] for r in permissions]
    entity = service.send("GET", f"{SETS}/Recipient('{key}')?$expand=RecipientPermission&isEncoded=true").json
    assert entity["ObjectKey"] == entity["ExternalDirectoryObjectId"]
    assert "NT AUTHORITY\\SELF" in {row["Trustee"] for row in entity["RecipientPermission"]}
    assert service.send("GET", f"{SETS}/Mailbox('!')?isEncoded=true").status == 400
    assert service.send("GET", f"{SETS}/Recipient?$filter=nonsense").status == 400


def test_paths_are_compared_without_case_and_v2_runs_the_cmdlets_of_its_noun(service: Service) -> None:
    assert service.run("Get-Mailbox", path=f"{SETS}/invokecommand").rows
    v2 = f"/adminapi/v2.0/{TENANT}/OrganizationConfig"
    assert service.send("POST", v2, envelope("Get-OrganizationConfig")).rows
    assert service.send("POST", v2, envelope("Get-Mailbox")).status == 400
    assert service.send("GET", v2).status == 404
    folders = f"/adminapi/v2.0/{TENANT}/MailboxFolderPermission"
    calendar = {"Identity": "erp@contoso.com:\\Calendar"}
    assert (
        service.send("POST", folders, envelope("Get-MailboxFolderPermission", calendar)).rows[0]["FolderName"]
        == "Calendar"
    )
    dynamic = f"/adminapi/v2.0/{TENANT}/DynamicDistributionGroupMember"
    assert service.send("POST", dynamic, envelope("Get-DynamicDistributionGroupMember", calendar)).status == 404
    lacking = service.send("GET", f"{SETS}/MailboxPlan")
    assert (lacking.status, lacking.headers["x-ms-sandbox-not-modelled"]) == (404, "GET MailboxPlan")
    assert service.send("GET", f"{SETS}/Mailbox", Authorization="Bearer nobody").status == 403
    assert service.send("GET", f"{SETS}/Mailbox", Authorization="").status == 401


# --- envelopes and rows ----------------------------------------------------------------------------------------------


def test_an_answer_has_the_shape_of_the_captured_one(service: Service) -> None:
    service.run("New-DkimSigningConfig", {"DomainName": "contoso.com", "Enabled": False, "KeySize": 2048})
    answer = service.run("Get-DkimSigningConfig")
    body = answer.json
    assert list(body)[:3] == ["@odata.context", "adminapi.warnings@odata.type", "@adminapi.warnings"]
    assert body["@odata.context"].endswith(f"/adminapi/beta/{TENANT}/$metadata#Collection(Exchange.GenericHashTable)")
    assert (body["adminapi.warnings@odata.type"], body["@adminapi.warnings"]) == ("#Collection(String)", [])
    row = body["value"][0]
    assert row["Selector1KeySize@data.type"] == "System.UInt16"
    assert row["Selector1KeySize@odata.type"] == "#Decimal"
    assert row["Selector1KeySize"] == 2048
    assert row["LastChecked@data.type"] == "System.DateTime"
    assert not [name for name in row if name.startswith(("Enabled@", "Domain@"))]
    assert list(row).index("LastChecked@data.type") == list(row).index("LastChecked") - 1
    assert answer.headers["content-type"].startswith("application/json")
    assert {"request-id", "x-calculatedbetarget"} <= set(answer.headers)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ({"Enabled": True, "Comment": "", "Nothing": None}, {"Enabled": True, "Comment": "", "Nothing": None}),
        ({"Tags": ["a"]}, {"Tags@odata.type": "#Collection(String)", "Tags": ["a"]}),
        ({"Guid": "x"}, {"Guid@data.type": "System.Guid", "Guid": "x"}),
        ({"Limit": 300}, {"Limit@data.type": "System.Int32", "Limit": 300}),
        (
            {"WhenChanged": "/Date(1723810171000)/"},
            {"WhenChanged@data.type": "System.DateTime", "WhenChanged": "2024-08-16T12:09:31.0000000Z"},
        ),
        ({"Version": {"Major": 14}}, {"Version": {"@odata.type": "#Exchange.GenericHashTable", "Major": 14}}),
    ],
)
def test_each_kind_of_value_has_its_sidecars(stored: dict[str, Any], sent: dict[str, Any]) -> None:
    assert wire_row(stored) == sent


def test_columns_can_be_chosen(service: Service) -> None:
    rows = service.run("Get-CASMailbox", path=f"{PATH}?$select=primarysmtpaddress,Guid").rows
    assert set(rows[0]) == {"PrimarySmtpAddress", "Guid", "Guid@data.type"}


def test_a_write_gives_no_rows_and_a_creation_gives_one(service: Service) -> None:
    assert service.run("Set-CASMailbox", {"Identity": "erp", "ImapEnabled": False, "Confirm": False}).rows == []
    assert service.run("New-InboundConnector", {"Name": "new", "SenderDomains": ["*"]}).rows[0]["Name"] == "new"
    assert service.run("Get-OutboundConnector").rows == []


def test_warnings_stand_in_the_body_and_in_a_header(service: Service) -> None:
    answer = service.run("Set-CASMailbox", {"Identity": "erp", "ImapEnabled": True})
    assert answer.status == 200
    (warning,) = answer.json["@adminapi.warnings"]
    assert warning == "The command completed successfully but no settings of 'erp' have been modified."
    assert answer.headers["x-warnings"] == warning


def test_only_the_token_is_a_mandatory_header(service: Service) -> None:
    assert service.run("Get-TransportConfig", **{"Content-Type": ""}).status == 200
    answer = service.run("Get-TransportConfig", **{"client-request-id": "abc", **ANCHOR, "X-CmdletName": "x"})
    assert answer.headers["client-request-id"] == "abc"


def test_a_question_is_returned_and_nothing_is_done(service: Service) -> None:
    answer = service.run("Remove-InboundConnector", {"Identity": "hq", "Confirm": True})
    assert "hq" in answer.json["@adminapi.confirmationmessage"]
    assert len(service.run("Get-InboundConnector").rows) == 1


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (["192.0.2.9"], ["192.0.2.9"]),
        ({**TABLE, "Add": "192.0.2.9", "Remove": ["192.0.2.5"]}, ["192.0.2.9"]),
        ({"@odata.type": "#Exchange.StringFieldDeltaUpdateData", "Add": ["192.0.2.9"]}, ["192.0.2.5", "192.0.2.9"]),
        ([], ["192.0.2.5"]),
    ],
)
def test_lists_are_replaced_changed_or_left(service: Service, sent: Any, left: list[str]) -> None:
    assert service.run("Set-InboundConnector", {"Identity": "hq", "SenderIPAddresses": sent}).status == 200
    assert service.run("Get-InboundConnector").rows[0]["SenderIPAddresses"] == left


def test_sidecar_keys_of_parameters_are_no_parameters() -> None:
    sent = {"P@odata.type": "#Collection(Exchange.GenericHashTable)", "P": [{**TABLE, "A": {**TABLE, "B": 1}}]}
    assert decode_parameters(sent) == {"P": [{"A": {"B": 1}}]}


# --- refusals --------------------------------------------------------------------------------------------------------


def test_an_untagged_table_does_not_bind(service: Service) -> None:
    answer = service.run("Set-InboundConnector", {"Identity": "hq", "SenderIPAddresses": {"Add": ["192.0.2.9"]}})
    assert answer.status == 400
    assert "Hashtable" in answer.json["error"]["innererror"]["internalexception"]["message"]
    assert service.run("Get-InboundConnector").rows[0]["SenderIPAddresses"] == ["192.0.2.5"]


def test_what_does_not_exist_is_refused_in_the_captured_shape(service: Service) -> None:
    answer = service.run("Get-CASMailbox", {"Identity": "x"})
    assert answer.status == 404
    error = answer.json["error"]
    assert (error["code"], error["message"]) == ("NotFound", "Error executing cmdlet")
    assert error["details"] == [
        {
            "code": "Context",
            "target": "",
            "message": "Ex6F9304|Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException|The "
            "operation couldn't be performed because object 'x' couldn't be found on "
            "'AM0PR07A05DC003.EURPR07A005.PROD.OUTLOOK.COM'.",
        }
    ]
    assert set(error["innererror"]) == {"message", "type", "stacktrace"}


def test_an_unknown_parameter_is_refused_in_the_captured_shape(service: Service) -> None:
    answer = service.run("Get-CASMailbox", {"Bogus": 1})
    text = (
        "Parameter set cannot be resolved using the specified named parameters. "
        "Invalid cmdlet parameters specified. Bogus"
    )
    kind = "Microsoft.Exchange.AdminApi.CommandInvocation.AmbiguousParameterSetException"
    assert answer.status == 400
    assert answer.json == {
        "error": {
            "code": "BadRequest",
            "message": "Invalid Operation",
            "details": [{"code": "Client", "target": "", "message": f"|{kind}|{text}"}],
            "innererror": {
                "message": "Invalid Operation",
                "type": "Microsoft.Exchange.Admin.OData.Core.ODataServiceException",
                "stacktrace": "",
                "internalexception": {"message": text, "type": kind, "stacktrace": ""},
            },
        }
    }


def test_a_bad_word_is_refused_without_details(service: Service) -> None:
    error = service.run("Set-InboundConnector", {"Identity": "hq", "ConnectorType": "Cloud"}).json["error"]
    assert "details" not in error
    assert "OnPremises, Partner" in error["innererror"]["internalexception"]["message"]


@pytest.mark.parametrize(
    ("name", "token"),
    [("Get-Nothing", "Bearer admin"), ("Set-CASMailbox", "Bearer reader"), ("Get-CASMailbox", "Bearer nobody")],
)
def test_a_forbidden_cmdlet_gets_nul_bytes_that_pretend_to_be_gzip(service: Service, name: str, token: str) -> None:
    answer = service.run(name, {"Identity": "erp"}, Authorization=token)
    assert answer.status == 403
    assert answer.headers["content-encoding"] == "gzip"
    assert set(answer.raw) == {0}
    assert name in answer.headers["x-ms-diagnostics"]


def test_a_missing_token_is_refused_as_the_verifier_says(service: Service) -> None:
    answer = service.run("Get-CASMailbox", Authorization="")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"{}", {"CmdletInput": None}, {"CmdletInput": {"CmdletName": 5}},
     envelope("Get-CASMailbox", []), {"CmdletInput": {"CmdletName": "Get-CASMailbox", "Parameters": None}}],
)  # fmt: skip
def test_a_body_that_is_no_envelope_is_a_bad_request(service: Service, body: Any) -> None:
    answer = service.send("POST", PATH, body)
    assert answer.status == 400
    assert answer.json["error"]["message"] == "Invalid Operation"


def test_only_beta_answers_and_only_to_post(service: Service) -> None:
    assert service.run("Get-CASMailbox", path=PATH.replace("beta", "v1.0")).status == 405
    assert service.send("GET", PATH).status == 405
    assert service.run("Get-CASMailbox", path=PATH.replace("beta", "v2.0")).status == 404


# --- paging ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def large(serve: Callable[[dict[str, Any]], Service]) -> Service:
    return serve({"mailboxes": {"count": 2500}})


def everything(service: Service, parameters: dict[str, Any], **headers: str) -> tuple[list[str], list[int]]:
    answer = service.run("Get-CASMailbox", parameters, **headers)
    addresses, sizes = [], []
    while True:
        addresses += [row["PrimarySmtpAddress"] for row in answer.rows]
        sizes.append(len(answer.rows))
        if "@odata.nextLink" not in answer.json:
            return addresses, sizes
        answer = service.follow(answer.json["@odata.nextLink"], "Get-CASMailbox", parameters, **headers)


def test_a_listing_comes_in_pages_of_the_size_asked_for(large: Service) -> None:
    parameters = {"ResultSize": "Unlimited"}
    addresses, sizes = everything(large, parameters, Prefer="odata.maxpagesize=1000", **ANCHOR)
    assert sizes == [1000, 1000, 500]
    assert len(set(addresses)) == 2500
    assert everything(large, parameters, Prefer="odata.maxpagesize = 600", **ANCHOR)[1] == [600, 600, 600, 600, 100]
    assert everything(large, parameters, Prefer="odata.maxpagesize=9999", **ANCHOR)[1] == [1000, 1000, 500]


def test_without_a_result_size_the_first_page_warns_that_there_is_more(large: Service) -> None:
    answer = large.run("Get-CASMailbox", **ANCHOR)
    assert len(answer.rows) == 1000
    assert answer.json["@adminapi.warnings"][0].startswith("There are more results available")
    assert "@odata.nextLink" in answer.json
    few = large.run("Get-CASMailbox", {"ResultSize": 1}, **ANCHOR)
    assert len(few.rows) == 1
    assert few.json["@adminapi.warnings"]
    assert few.json["@odata.nextLink"]


def test_a_page_can_be_fetched_twice(large: Service) -> None:
    parameters = {"ResultSize": "Unlimited"}
    link = large.run("Get-CASMailbox", parameters, **ANCHOR).json["@odata.nextLink"]
    one, other = (large.follow(link, "Get-CASMailbox", parameters, **ANCHOR).rows for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("parameters", "headers", "wait_s"),
    [
        ({"ResultSize": "Unlimited"}, {}, 0),
        ({"ResultSize": "Unlimited"}, {"X-AnchorMailbox": "UPN:someone@contoso.com"}, 0),
        ({"ResultSize": 2000}, ANCHOR, 0),
        ({"ResultSize": "Unlimited"}, ANCHOR, 1801),
    ],
)
def test_a_link_is_stale_for_another_anchor_another_body_and_after_half_an_hour(
    large: Service, parameters: dict[str, Any], headers: dict[str, str], wait_s: int
) -> None:
    link = large.run("Get-CASMailbox", {"ResultSize": "Unlimited"}, **ANCHOR).json["@odata.nextLink"]
    large.tenant.clock.advance(wait_s)
    answer = large.follow(link, "Get-CASMailbox", parameters, **headers)
    assert answer.status == 400
    text = "Expired or Invalid pagination request. Default Expiry time is 00:30:00"
    assert answer.json["error"]["message"] == "Invalid Operation"
    assert answer.json["error"]["innererror"]["internalexception"]["message"] == text


def test_a_listing_that_began_without_an_anchor_cannot_go_on(large: Service) -> None:
    parameters = {"ResultSize": "Unlimited"}
    link = large.run("Get-CASMailbox", parameters).json["@odata.nextLink"]
    assert large.follow(link, "Get-CASMailbox", parameters).status == 400
    assert large.follow(link, "Get-CASMailbox", parameters, **ANCHOR).status == 400


@pytest.mark.parametrize("token", ["", "nonsense", "bm9uc2Vuc2U=", "bm9uc2Vuc2UvMTA="])
def test_an_invented_token_is_stale(large: Service, token: str) -> None:
    assert large.run("Get-CASMailbox", path=f"{PATH}?$skiptoken={token}", **ANCHOR).status == 400


def test_a_link_keeps_the_chosen_columns(large: Service) -> None:
    parameters = {"ResultSize": "Unlimited"}
    link = large.run("Get-CASMailbox", parameters, f"{PATH}?$select=Name,Alias", **ANCHOR).json["@odata.nextLink"]
    assert set(large.follow(link, "Get-CASMailbox", parameters, **ANCHOR).rows[0]) == {"Name"}


def test_ten_thousand_mailboxes_page_out_at_a_cost_that_does_not_grow_with_the_square(
    serve: Callable[[dict[str, Any]], Service],
) -> None:
    service = serve({"mailboxes": {"count": 10_000}})
    with costs(10):  # about a second; the limit only catches a cost that grows with the square
        _, sizes = everything(service, {"ResultSize": "Unlimited"}, **ANCHOR)
    assert sizes == [1000] * 10


# --- batches and the catalogue ---------------------------------------------------------------------------------------


def test_a_batch_answers_each_item_for_itself(service: Service) -> None:
    url = f"https://outlook.office365.com{PATH}"
    items = [
        {"id": "1", "method": "POST", "url": url, "headers": {}, "body": envelope("Get-TransportConfig")},
        {"id": "2", "method": "POST", "url": url, "body": envelope("Get-CASMailbox", {"Identity": "none"})},
        {"id": "3", "method": "POST", "url": f"{url}?$select=Name", "body": envelope("Get-InboundConnector")},
        {"id": "4", "method": "POST", "url": url, "body": envelope("Get-Nothing")},
        {"id": "5", "method": "POST", "url": f"https://outlook.office365.com/adminapi/beta/{TENANT}/Other", "body": {}},
    ]
    answer = service.send("POST", PATH.replace("InvokeCommand", "$batch"), {"requests": items})
    responses = {item["id"]: item for item in answer.json["responses"]}
    assert {name: item["status"] for name, item in responses.items()} == {
        "1": 200,
        "2": 404,
        "3": 200,
        "4": 403,
        "5": 404,
    }
    assert responses["1"]["body"]["value"][0]["Name"] == "Transport Settings"
    assert responses["2"]["body"]["error"]["code"] == "NotFound"
    assert responses["3"]["body"]["value"] == [{"Name": "hq"}]
    logged = [entry["cmdlet"] for entry in service.faults.requests_since(0)]
    assert logged[:3] == ["Get-TransportConfig", "Get-CASMailbox", "Get-InboundConnector"]


@pytest.mark.parametrize("body", [b"x", [], {"requests": "x"}, {"requests": [1]}, {"requests": [{}] * 11}])
def test_a_batch_of_another_form_is_a_bad_request(service: Service, body: Any) -> None:
    assert service.send("POST", PATH.replace("InvokeCommand", "$batch"), body).status == 400


@pytest.mark.parametrize(("token", "writes"), [("Bearer admin", True), ("Bearer reader", False)])
def test_the_module_file_names_what_the_caller_may_run(service: Service, token: str, writes: bool) -> None:
    path = f"/adminapi/v1.0/{TENANT}/EXOModuleFile?Version=3.9.2"
    answer = service.send("GET", path, CommandName="*", Authorization=token)
    (entry,) = answer.rows
    assert "Get-CASMailbox" in entry["exportedCmdlets"].split(",")
    assert ("Set-CASMailbox" in entry["exportedCmdlets"].split(",")) is writes


# --- limits and the log ----------------------------------------------------------------------------------------------


def test_more_requests_at_once_than_the_limit_are_throttled(service: Service) -> None:
    """A batch counts as one request, and waits inside of the limit, as a slow answer does."""
    held = {"front": "exchange", "match": {"cmdlet": "Get-TransportConfig"}, "times": None, "do": {"hold": True}}
    service.faults.add(held)
    batch = {"requests": [{"id": "1", "url": PATH, "body": envelope("Get-TransportConfig")}]}
    with ThreadPoolExecutor(40) as pool:
        place = PATH.replace("InvokeCommand", "$batch")
        asked = [pool.submit(service.send, "POST", place, batch) for _ in range(40)]
        until(lambda: sum(future.done() for future in asked) >= 10)  # refused: the others wait
        service.faults.clear()
        answers = [future.result() for future in asked]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 10
    assert sum(answer.status == 200 for answer in answers) == 30
    assert int(refused[0].headers["retry-after"]) > 0
    assert refused[0].raw.startswith(b"You have reached the maximum number of concurrent requests per tenant.")


def test_the_log_tells_who_did_what_and_whether_it_ran(service: Service, tmp_path: Path) -> None:
    service.run("Get-InboundConnector", {"Identity": "hq"}, Authorization="Bearer reader")
    service.run("Set-CASMailbox", {"Identity": "erp", "ImapEnabled": False})
    service.run("Set-CASMailbox", {"Identity": "erp", "Password": "hunter2"})
    read, written, refused = service.faults.requests_since(0)
    assert (read["cmdlet"], read["caller"], read["write"], read["status"]) == (
        "Get-InboundConnector",
        "reader",
        False,
        200,
    )
    assert (written["write"], written["executed"], written["parameters"]["ImapEnabled"]) == (True, True, False)
    assert (refused["executed"], refused["status"]) == (False, 400)
    kept = (tmp_path / "requests.jsonl").read_text()
    assert "hunter2" not in kept
    assert "Bearer" not in kept
    assert [json.loads(line)["n"] for line in kept.splitlines()] == [1, 2, 3]
    assert service.faults.requests_since(2) == [refused]


# --- faults ----------------------------------------------------------------------------------------------------------


def test_errors_can_ride_on_a_success(service: Service) -> None:
    service.faults.add({"front": "exchange", "match": {"cmdlet": "get-casmailbox"}, "do": {"adminapi_errors": ["bad"]}})
    assert service.run("Get-CASMailbox").json["@adminapi.errors"] == ["bad"]
    assert "@adminapi.errors" not in service.run("Get-CASMailbox").json


def test_a_new_object_can_be_missing_for_a_while(service: Service) -> None:
    service.faults.add({
        "front": "exchange", "match": {"cmdlet": "New-InboundConnector"}, "do": {"read_after_write_404": 60}
    })  # fmt: skip
    service.run("New-InboundConnector", {"Name": "new", "SenderDomains": ["*"]})
    assert service.run("Get-InboundConnector", {"Identity": "new"}).status == 404
    service.tenant.clock.advance(61)
    assert service.run("Get-InboundConnector", {"Identity": "new"}).status == 200


def test_an_item_of_a_batch_can_be_throttled_alone(service: Service) -> None:
    service.faults.add({
        "front": "exchange", "match": {"cmdlet": "Get-CASMailbox"}, "do": {"status": 429, "headers": {"Retry-After": 5}}
    })  # fmt: skip
    items = [
        {"id": name, "method": "POST", "url": PATH, "body": envelope(name)}
        for name in ("Get-TransportConfig", "Get-CASMailbox")
    ]
    responses = service.send("POST", PATH.replace("InvokeCommand", "$batch"), {"requests": items}).json["responses"]
    assert [item["status"] for item in responses] == [200, 429]


# --- quotas ----------------------------------------------------------------------------------------------------------


def test_a_quota_refuses_with_the_seconds_to_wait_and_is_logged(serve: Callable[[dict[str, Any]], Service]) -> None:
    service = serve({"settings": {"throttle": {"application": {"requests_per_minute": 2}}}})
    answers = [service.run("Get-TransportConfig") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].raw == b"Too many requests. Please wait and try again."
    assert 58 <= int(answers[2].headers["retry-after"]) <= 60
    entry = service.faults.requests_since(0)[-1]
    assert (entry["status"], entry["throttled"], entry["executed"]) == (429, "application requests_per_minute", False)
    assert service.run("Get-TransportConfig", Authorization="Bearer reader").status == 200, "another application"


def test_each_item_of_a_batch_counts_for_a_quota(serve: Callable[[dict[str, Any]], Service]) -> None:
    quotas = {"tenant": {"requests_per_minute": 2, "concurrent_requests": 1}}
    service = serve({"settings": {"throttle": quotas}})
    items = [{"id": str(n), "url": PATH, "body": envelope("Get-TransportConfig")} for n in range(3)]
    answer = service.send("POST", PATH.replace("InvokeCommand", "$batch"), {"requests": items})
    assert [item["status"] for item in answer.json["responses"]] == [200, 200, 429]
    assert int(answer.json["responses"][2]["headers"]["Retry-After"]) > 1
    assert [entry.get("throttled") for entry in service.faults.requests_since(0)][2] == "tenant requests_per_minute"
