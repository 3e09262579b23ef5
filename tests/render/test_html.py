"""The page in a real browser: filtered, opened, searched by keyboard, and harmless whatever names it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from provisioner.changes import changeset
from provisioner.model import Action, Address, Change, ChangeSet, Unknown
from provisioner.render.html import render
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth
from tests.clocks import costs

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
HOSTILE = [
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    'a" onmouseover="document.title=1',
    "]\"|`$(x)'‮ü\n",
    "{{7*7}} ${7*7}",
]


def page(changes: int = 6, **rest: object) -> str:
    made = [
        Change(
            Address("smtp_auth", f"m{i}@x.com"),
            Action.UPDATE,
            SmtpAuth(f"m{i}", "inherit"),
            SmtpAuth(f"m{i}", "enabled"),
        )
        for i in range(changes)
    ]
    made += [
        Change(Address("inbound_connector", n), Action.CREATE, None, InboundConnector(n, comment=n)) for n in HOSTILE
    ]
    gone = InboundConnector("gone", sender_ip_addresses=frozenset({"192.0.2.5/32"}), comment="")
    made.append(Change(Address("inbound_connector", "gone"), Action.DELETE, gone, None))
    subject = ChangeSet("contoso.onmicrosoft.com", "id", HOSTILE[0], tuple(made), **rest)  # type: ignore[arg-type]
    return render(changeset.to_document(subject))


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if not CHROMIUM or not DRIVER:
        pytest.skip("chromium and chromedriver are not on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, text: str, folder: Path) -> webdriver.Chrome:
    place = folder / "plan.html"
    place.write_text(text, encoding="utf-8")
    browser.get(place.as_uri())
    return browser


def shown(browser: webdriver.Chrome) -> list[str]:
    rows = browser.find_elements(By.CSS_SELECTOR, "details[data-type]")
    return [r.find_element(By.CLASS_NAME, "address").text for r in rows if r.is_displayed()]


@pytest.mark.impure
def test_a_reviewer_filters_searches_and_opens(browser: webdriver.Chrome, tmp_path: Path) -> None:
    opened(browser, page(), tmp_path)
    assert shown(browser)[0] == 'inbound_connector["gone"]', "dangers first"
    assert len(shown(browser)) == 12
    browser.find_element(By.CSS_SELECTOR, "[name=type][value=inbound_connector]").click()
    assert len(shown(browser)) == 6
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    search = browser.switch_to.active_element
    search.send_keys("m3")
    assert shown(browser) == ['smtp_auth["m3@x.com"]']
    assert browser.find_element(By.ID, "shown").text == "1 of 12 shown"
    row = browser.find_element(By.CSS_SELECTOR, "details:not([hidden])")
    assert "enabled" not in row.text
    row.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert '"enabled"' in row.text
    search.send_keys(Keys.ESCAPE)
    assert len(shown(browser)) == 6


@pytest.mark.impure
def test_no_name_becomes_markup_or_script_and_nothing_is_fetched(browser: webdriver.Chrome, tmp_path: Path) -> None:
    opened(browser, page(), tmp_path)
    assert browser.title == "provisioner plan: contoso.onmicrosoft.com"
    browser.find_element(By.ID, "all").click()
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1
    assert not browser.find_elements(By.TAG_NAME, "img")
    assert not browser.execute_script("return performance.getEntriesByType('resource').length")
    complaints = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert not complaints, "no error and no refusal by the content security policy"


@pytest.mark.impure
def test_it_follows_the_dark_mode_and_opens_everything_for_print(browser: webdriver.Chrome, tmp_path: Path) -> None:
    opened(browser, page(), tmp_path)
    color = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(color)
    dark_mode = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark_mode)
    assert browser.execute_script(color) != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert not browser.find_elements(By.CSS_SELECTOR, "details[data-type]:not([open])")


@pytest.mark.impure
def test_ten_thousand_changes_are_made_in_time_and_stay_usable(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with costs(at_most_s=3):
        text = page(10_000)
    opened(browser, text, tmp_path)
    browser.find_element(By.CSS_SELECTOR, "[type=search]").send_keys("m9999@")
    assert browser.find_element(By.ID, "shown").text == "1 of 10006 shown"


def test_without_changes_it_says_so_and_without_a_whole_reading_it_says_that(tmp_path: Path) -> None:
    empty = render(changeset.to_document(ChangeSet("t", "id", "", ())))
    assert "No changes." in empty
    unread = ChangeSet("t", "id", "", (), unknown={Address("dkim", "x<y"): Unknown("half <an> answer")}, complete=False)
    text = render(changeset.to_document(unread))
    assert "No changes." not in text
    assert "half &lt;an&gt; answer" in text
