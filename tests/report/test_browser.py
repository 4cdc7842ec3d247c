"""The page in a real browser: read, clicked and typed into, on a telephone and in the dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lake.report import make_page
from tests.report.report_kit import many, page_of
from tests.report.test_page import HOSTILE, make_hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
READY = "html[data-ready]"
Opener = Callable[..., "Page"]


@pytest.fixture
def look(browser: Browser, tmp_path: Path) -> Iterator[Opener]:
    """``look(html, viewport=...)``: a page that must ask nobody for anything and say no error."""
    asked: list[str] = []
    said: list[str] = []
    contexts = []

    def open_page(html: str, *, script: str = "", ready: bool = True, **settings: Any) -> Page:
        path = tmp_path / "quality.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce", **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        if script:
            page.add_init_script(script)
        page.goto(path.as_uri())
        if ready:
            page.wait_for_selector(READY)
        return page

    yield open_page

    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith("file:")] == []
    assert said == []


@pytest.fixture(scope="module")
def thousand(small: Path) -> str:
    return make_page(many(small, 1_000))


def cell(page: Page, label: str) -> Any:
    return page.locator(f'[role="gridcell"][aria-label^="{label}"]')


def texts(page: Page, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(selector).all_inner_texts()]


def test_a_click_on_a_cell_lists_its_gaps(look: Opener, small_page: str) -> None:
    page = look(small_page)

    cell(page, "BTCUSDT.BINANCE 1h 2024-03").click()

    assert texts(page, "#panel h3") == ["BTCUSDT.BINANCE 1h, 2024-03"]
    [row] = texts(page, "#panel tbody tr")
    assert row.startswith("2024-03-24 11:00 2024-03-24 16:00 5 venue_outage")
    assert "instrument" in row
    assert "99.33 % held: 739 of 744 candles" in page.locator("#panel p").first.inner_text()


def test_cells_are_told_apart_by_their_state(look: Opener, small_page: str) -> None:
    """Complete, explained, to act on: by class, which the style gives a colour and a pattern."""
    page = look(small_page)

    kinds = {
        name: cell(page, f"BTCUSDT.BINANCE 1h {name}").get_attribute("class")
        for name in ("2024-01", "2024-03", "2024-05")
    }

    assert kinds == {"2024-01": "c full", "2024-03": "c told", "2024-05": "c p2"}


def test_the_chart_shows_the_gap_between_its_candles(look: Opener, small_page: str) -> None:
    """Something is drawn in the colours of candles, and the caption says what."""
    page = look(small_page)

    cell(page, "BTCUSDT.BINANCE 1h 2024-05").click()
    page.locator("#panel button.draw").first.click()
    page.wait_for_timeout(300)

    caption = page.locator("#panel figcaption").inner_text()
    assert "60 candles before the gap from 2024-05-31 20:00 to 2024-06-01 04:00" in caption
    colours = page.evaluate(
        """() => {
            const seen = new Set();
            for (const canvas of document.querySelectorAll('#panel canvas')) {
                const pixels = canvas.getContext('2d')
                    .getImageData(0, 0, canvas.width, canvas.height).data;
                for (let at = 0; at < pixels.length; at += 4) {
                    if (pixels[at + 3] === 255) seen.add(pixels.slice(at, at + 3).join());
                }
            }
            return [...seen];
        }"""
    )
    assert {"79,150,158", "201,112,79"} <= set(colours)


def test_the_candles_can_be_read_as_a_table(look: Opener, small_page: str) -> None:
    page = look(small_page)

    page.locator("#worst summary").first.click()
    page.locator("#worst figure tbody").wait_for()

    rows = texts(page, "#worst figure tbody tr")
    assert len(rows) == 120
    assert rows[0].startswith("2024-05-29 08:00")


def test_the_map_is_reached_by_keyboard(look: Opener, small_page: str) -> None:
    """One stop of Tab for the whole map; arrows inside, Enter opens, Escape comes back."""
    page = look(small_page)
    press = page.keyboard.press

    page.locator("#only").focus()
    press("Tab")
    press("Control+Home")
    press("ArrowRight")
    press("ArrowRight")
    press("Enter")

    focused = (
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"
    )
    assert page.evaluate(focused) == "BTCUSDT.BINANCE 1d, 2024-03"
    press("Escape")
    assert page.evaluate(focused).startswith("BTCUSDT.BINANCE 1d 2024-03: complete")
    press("ArrowDown")
    press("Enter")
    assert page.evaluate(focused) == "BTCUSDT.BINANCE 1h, 2024-03"


def test_what_a_check_found_is_listed_on_click(look: Opener, small_page: str) -> None:
    page = look(small_page)

    page.locator("details.check", has_text="spikes").locator("summary").click()
    page.locator("details.check[open] tbody").wait_for()

    rows = texts(page, "details.check[open] tbody tr")
    assert len(rows) == 2
    assert "BTCUSDT.BINANCE 1h 2024-02-02 05:00" in rows[0]
    assert rows[0].endswith("close 99 where 42 was to be expected")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_needs_no_sideways_scrolling(
    look: Opener, small_page: str, scheme: str
) -> None:
    page = look(small_page, viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True)

    cell(page, "BTCUSDT.BINANCE 1h 2024-05").tap()
    page.locator("details.check").first.locator("summary").tap()
    page.locator("#each-series summary").tap()
    page.locator("#as-table summary").tap()
    page.locator("#as-table tbody").wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.scroll')]
            .filter((each) => each.scrollWidth > each.clientWidth + 1)
            .map((each) => each.getAttribute('aria-label'))"""
    )
    assert wide == []
    box = cell(page, "BTCUSDT.BINANCE 1h 2024-05").bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 24


def hex_of(page: Page, name: str) -> str:
    """A colour of the style, as six digits."""
    said: str = page.evaluate(
        "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()",
        f"--{name}",
    )
    return said.removeprefix("#")


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it (section 1.4.3, read 2026-11-29)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [
            each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(look: Opener, small_page: str, scheme: str) -> None:
    """WCAG AA: 4.5 for text against what lies behind it; 3 for what marks that rows are missing."""
    page = look(small_page, color_scheme=scheme)

    texts = ("ink", "muted", "link", "ok-text", "warn-text", "bad-text")
    wanted = [(name, back, 4.5) for name in texts for back in ("paper", "card")]
    wanted += [("bad-text", "bad-paper", 4.5)]
    wanted += [(name, "paper", 3) for name in ("full", "p3", "p4", "none")]
    ratios = {
        f"{name} on {back}": contrast(hex_of(page, name), hex_of(page, back)) / least
        for name, back, least in wanted
    }

    assert {name: round(each, 2) for name, each in ratios.items() if each < 1} == {}
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(252, 252, 250)" if scheme == "light" else "rgb(20, 24, 27)")


def test_a_thousand_series_can_be_searched_and_sorted(look: Opener, thousand: str) -> None:
    """Only what is in sight is in the document, and the last row is reached."""
    page = look(thousand)
    rows = page.locator('#grid [role="row"]')

    assert page.locator("#count").inner_text() == "1,000 series"
    assert page.locator("#grid").get_attribute("aria-rowcount") == "1001"
    assert rows.count() < 80
    page.locator(".grid-frame").evaluate("each => { each.scrollTop = each.scrollHeight; }")
    page.wait_for_timeout(200)
    assert cell(page, "COIN0999USDT.BINANCE 1h 2024-12").is_visible()
    assert rows.count() < 80

    page.locator("#find").fill("coin0042 binance")
    assert page.locator("#count").inner_text() == "1 of 1,000 series"
    assert texts(page, "#grid .body .who") == ["COIN0042USDT"]

    page.locator("#find").fill("")
    page.locator("#order").select_option("ratio")
    shares = [float(text.split()[0]) for text in texts(page, "#grid .body .ratio")]
    assert shares == sorted(shares)
    page.locator("#only").check()
    assert page.locator("#count").inner_text().endswith("of 1,000 series")


def test_a_thousand_series_are_drawn_at_once(look: Opener, thousand: str) -> None:
    """Unpacked and drawn in a second or two, also where two cores are shared."""
    page = look(thousand)

    assert page.evaluate("performance.now()") < 5_000


def test_texts_of_a_lake_run_nothing(look: Opener, tmp_path: Path) -> None:
    """An error that holds a script is shown as what it is."""
    page = look(page_of(make_hostile(tmp_path / "<i>lake")))

    cell(page, "BTCUSDT.BINANCE 1h 2024-02").click()
    page.locator("details.check summary").first.click()

    assert HOSTILE in page.locator("#panel tbody").inner_text()
    assert HOSTILE in page.locator("details.check[open] tbody").inner_text()
    assert page.locator("img").count() == 0


def test_an_old_browser_is_told_and_keeps_the_tables(look: Opener, small_page: str) -> None:
    page = look(small_page, script="delete window.DecompressionStream;", ready=False)

    note = page.get_by_role("alert")
    note.wait_for()

    assert "cannot be drawn in this browser" in note.inner_text()
    assert page.get_by_text("BINANCE answered 503 for a minute").is_visible()


def test_without_scripts_the_tables_are_there(look: Opener, small_page: str) -> None:
    """Mail programs run none."""
    page = look(small_page, java_script_enabled=False, ready=False)

    assert page.locator("#unscripted").is_visible()
    assert page.get_by_text("venue_outage").first.is_visible()
    assert not page.locator("#find").is_visible()


def test_print_holds_every_row(look: Opener, thousand: str) -> None:
    """What is printed cannot be scrolled."""
    page = look(thousand)

    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = page.locator('#grid .body [role="row"]').count()
    page.evaluate("dispatchEvent(new Event('afterprint'))")

    assert printed == 1_000
    assert page.locator('#grid .body [role="row"]').count() < 80
