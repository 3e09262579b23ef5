"""The page in a real browser: filtered, opened, searched by keyboard, and harmless whatever names it shows."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from provisioner.changes import changeset
from provisioner.model import Action, Address, Change, ChangeSet, Unknown
from provisioner.render import sheets
from provisioner.render.html import render
from provisioner.render.review import Shown
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth
from tests.changes.whole import change_set
from tests.clocks import costs
from tests.render.test_sheets import REPORT, SHEET

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


LAYOUT = """
const broken = [], wide = document.documentElement.scrollWidth > innerWidth;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode());) {
  if (node.parentElement.closest('svg, script, style, .facts')) continue;
  for (const found of node.data.matchAll(/[^\\s-]+/g)) {
    const range = document.createRange();
    range.setStart(node, found.index); range.setEnd(node, found.index + found[0].length);
    const tops = new Set([...range.getClientRects()].map(rect => Math.round(rect.top)));
    if (tops.size > 1) broken.push(found[0]);
  }
}
return [wide, broken];
"""


def whole_page(folder: Path) -> str:
    found = changeset.to_document(change_set(folder))
    found["applyable"], found["errored"] = True, False
    return render(found, Shown(profile="prod", file="changes.json", rules="https://docs.example/rules"))


@pytest.mark.impure
@pytest.mark.parametrize("width", [400, 1100])
def test_nothing_is_wider_than_the_screen_and_no_word_is_broken(
    browser: webdriver.Chrome, tmp_path: Path, width: int
) -> None:
    pages = {
        "plan": whole_page(tmp_path),
        "sheet": sheets.sheet_html(SHEET),
        "report": sheets.report_html(REPORT),
    }
    for name, text in pages.items():
        opened(browser, text, tmp_path)
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        wide, broken = browser.execute_script(LAYOUT)
        assert not wide, f"{name} is wider than {width} px"
        # What is longer than the screen has to break somewhere.
        assert [word for word in broken if len(word) < (40 if width > 1000 else 25)] == [], name
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


ROOT = Path(__file__).parents[2]
APART = """
const done = arguments[arguments.length - 1];
const read = url => new Promise((resolve, reject) => {
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 48;
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(image, 0, 0, 48, 48);
    resolve(context.getImageData(0, 0, 48, 48).data);
  };
  image.onerror = reject;
  image.src = 'data:image/png;base64,' + url;
});
Promise.all([read(arguments[0]), read(arguments[1])]).then(([one, other]) => {
  let sum = 0;
  one.forEach((value, at) => { sum += Math.abs(value - other[at]); });
  done(sum / one.length);
});
"""
"""How far two pictures are apart: the mean difference of a channel (0 to 255), both brought to 48 by 48 points."""


def picture(browser: webdriver.Chrome, page: Path, width: int, height: int, scheme: str = "light") -> str:
    """A page as a PNG file, in base64."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())
    taken: str = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return taken


@pytest.mark.impure
def test_reviews_look_as_the_gallery_shows_them(browser: webdriver.Chrome) -> None:
    """Fonts differ from machine to machine; colours and places do not. scripts/screenshots takes the pictures anew."""
    reviews, kept = ROOT / "docs" / "review", {}
    taken = {
        "review-small": picture(browser, reviews / "small.html", 1000, 900),
        "review-large-dark": picture(browser, reviews / "large.html", 1240, 1400, "dark"),
        "review-phone": picture(browser, reviews / "large.html", 420, 900),
    }
    for name in taken:
        kept[name] = base64.b64encode((ROOT / "docs" / "pictures" / f"{name}.png").read_bytes()).decode()
    browser.get("about:blank")  # a review lets no script read pictures
    apart = {
        (one, other): browser.execute_async_script(APART, taken[one], kept[other]) for one in taken for other in kept
    }
    for (one, other), distance in apart.items():
        assert (distance < 6) is (one == other), (one, other, distance)


@pytest.mark.impure
def test_a_button_copies_the_command_and_the_picture_is_drawn(browser: webdriver.Chrome, tmp_path: Path) -> None:
    opened(browser, whole_page(tmp_path), tmp_path)
    command = browser.find_element(By.CSS_SELECTOR, ".copied pre").text
    assert command.startswith("provisioner --profile prod apply changes.json --expect-digest sha256:")
    button = browser.find_element(By.CSS_SELECTOR, ".copied button")
    assert button.get_attribute("data-copy") == command
    button.click()
    WebDriverWait(browser, 20).until(lambda _: button.text == "Copied")
    assert browser.find_element(By.CSS_SELECTOR, "svg.graph path.opens").is_displayed()
    page = browser.find_element(By.LINK_TEXT, "SPF-IP-MISSING").get_attribute("href")
    assert page == "https://docs.example/rules/SPF-IP-MISSING.md"
    assert not browser.get_log("browser")  # type: ignore[no-untyped-call]


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
