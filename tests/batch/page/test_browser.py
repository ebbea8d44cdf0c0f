"""The page in a real browser: it loads, plays, switches in step, loops, sorts and filters, by mouse and by keys."""

import json
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from enhance_cli.batch.page import entry as pages
from tests import audio_zoo as zoo

pytestmark = pytest.mark.slow

LOADED = "return player.takes.length && player.takes.every((take) => take.audio.readyState === 4)"
TIMES = "return player.takes.map((take) => take.audio.currentTime - take.offset)"
VOLUMES = "return player.takes.map((take) => take.audio.volume)"


def wait(browser, condition: str, seconds: float = 60, *arguments):
    return WebDriverWait(browser, seconds, 0.05).until(lambda b: b.execute_script(condition, *arguments))


def requested(browser) -> list[str]:
    """The addresses that the browser has asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def names(browser) -> list[str]:
    return [row.text for row in browser.find_elements(By.CSS_SELECTOR, "#rows td:first-child")]


def choose(browser, name: str) -> None:
    browser.find_element(By.XPATH, f"//tbody//button[.='{name}']").click()


def press(browser, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def test_pictures_and_sounds_are_loaded_only_for_the_recording_that_is_open(three_recordings, visit):
    browser = visit(three_recordings)
    choose(browser, "middle.flac")
    wait(browser, LOADED)
    wait(browser, "return [...document.images].every((image) => image.complete && image.naturalWidth > 300)")
    pictures = browser.find_elements(By.CSS_SELECTOR, "#plots img")
    assert [picture.get_attribute("alt") for picture in pictures] == [
        "Waveform, before", "Spectrogram, before, 0 to 24 kHz", "Waveform, after", "Spectrogram, after, 0 to 24 kHz"
    ]  # fmt: skip
    loaded = requested(browser)
    assert any("/middle" in address for address in loaded) and not any("/short" in address for address in loaded)
    assert browser.find_element(By.ID, "time").text == "0:00.0 / 0:04.0"
    measured = browser.find_element(By.ID, "measures").text
    assert "\u22126.0 dB" in measured and "Noise floor" in measured  # half of it was taken away


def test_one_is_heard_both_run_and_the_switch_is_at_the_same_instant(three_recordings, visit):
    browser = visit(three_recordings)
    choose(browser, "long.wav")
    wait(browser, LOADED)
    press(browser, "a")
    browser.find_element(By.ID, "loop").click()  # for slow machines: it must not end meanwhile
    browser.find_element(By.ID, "play").click()
    wait(browser, "return player.takes.every((take) => !take.audio.paused && take.audio.currentTime > 0.3)")
    before, after = browser.execute_script(VOLUMES)
    assert before > 0.1 and 0 < after < 1e-4  # at 0 Chromium would stop its clock
    browser.execute_script("player.takes[1].audio.currentTime += 0.15")  # as if it had started late
    wait(browser, "return Math.abs(player.takes[0].audio.currentTime - player.takes[1].audio.currentTime) < 0.02")
    here, there = browser.execute_script(
        "const time = player.time; document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'b', bubbles: true }));"
        "return [time, player.time]"
    )
    assert there == pytest.approx(here, abs=0.05)
    wait(browser, "return player.takes[0].audio.volume < 1e-4 && player.takes[1].audio.volume > 0.1")
    assert browser.execute_script("return player.takes.every((take) => !take.audio.paused)")
    assert browser.find_element(By.CSS_SELECTOR, "#takes input:checked").get_attribute("value") == "1"
    press(browser, " ")
    assert browser.find_element(By.ID, "play").text == "Play"
    first, second = browser.execute_script(TIMES)
    assert first == pytest.approx(second, abs=1e-6) and first > 0.3


def test_both_are_as_loud_as_the_less_loud_one_unless_told_otherwise(three_recordings, visit):
    browser = visit(three_recordings)
    choose(browser, "long.wav")
    assert browser.execute_script("return player.gains()") == pytest.approx([0.5, 1], abs=0.005)
    assert browser.find_element(By.ID, "matched").text == "(before \u22126.0 dB)"
    browser.find_element(By.ID, "match").click()
    assert browser.execute_script("return player.gains()") == [1, 1]


def test_dragging_over_a_picture_makes_a_loop(three_recordings, visit):
    browser = visit(three_recordings)
    choose(browser, "long.wav")
    wait(browser, LOADED)
    overlay = browser.find_element(By.ID, "overlay")
    width = overlay.size["width"]
    drag = ActionChains(browser).move_to_element_with_offset(overlay, -width / 4, 0).click_and_hold()
    drag.move_by_offset(width / 12, 0).move_by_offset(width / 12, 0).release().perform()
    start, end = browser.execute_script("return player.region")
    assert start == pytest.approx(9 / 4, abs=0.1) and end == pytest.approx(9 / 4 + 9 / 6, abs=0.1)
    assert browser.find_element(By.ID, "loop").get_attribute("aria-pressed") == "true"
    browser.execute_script(
        "window.seen = []; setInterval(() => player.playing && seen.push(player.time), 20); player.play()"
    )
    wait(browser, "return seen.some((time, i) => i && time < seen[i - 1] - 1)")  # back at its beginning
    seen = browser.execute_script("return seen")
    assert min(seen) > start - 0.1 and max(seen) < end + 0.5
    press(browser, Keys.ESCAPE)
    assert browser.execute_script("return player.region") is None


def test_keys_mark_a_loop_and_go_through_the_list(three_recordings, visit):
    browser = visit(three_recordings)
    choose(browser, "long.wav")
    wait(browser, LOADED)
    press(browser, "a", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, "[", Keys.ARROW_RIGHT, "]")
    assert browser.execute_script("return player.region") == pytest.approx([2, 3], abs=0.01)
    assert browser.find_element(By.ID, "region").text == "0:02.00 \u2013 0:03.00"
    press(browser, "l")
    assert browser.execute_script("return player.looping") is False
    press(browser, "j")
    assert browser.find_element(By.ID, "name").text == "middle.flac"
    assert browser.execute_script("return player.heard") == 0  # as chosen for the one before
    wait(browser, LOADED)
    press(browser, " ")  # the focus has gone with it, or this would open long.wav again
    assert browser.find_element(By.ID, "name").text == "middle.flac" and browser.execute_script("return player.playing")
    press(browser, " ")
    browser.find_element(By.ID, "text").send_keys("jab")
    assert browser.find_element(By.ID, "name").text == "middle.flac"  # letters for a field are no commands


def test_the_list_is_sorted_and_filtered(three_recordings, visit):
    browser = visit(three_recordings)
    assert names(browser) == ["broken.wav", "long.wav", "middle.flac", "short.wav"]
    length = browser.find_element(By.XPATH, "//thead//button[text()='Length']")
    length.click()
    assert names(browser) == ["long.wav", "middle.flac", "short.wav", "broken.wav"]
    assert length.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
    length.click()
    assert names(browser) == ["short.wav", "middle.flac", "long.wav", "broken.wav"]  # what is not known stays last
    browser.find_element(By.ID, "text").send_keys("truncated")
    assert names(browser) == ["broken.wav"]
    browser.find_element(By.ID, "text").send_keys(Keys.BACKSPACE * len("truncated"))
    Select(browser.find_element(By.ID, "status")).select_by_value("done")
    assert len(names(browser)) == 3
    browser.find_element(By.ID, "least").send_keys("100")
    assert names(browser) == [] and browser.find_element(By.ID, "count").text == "0 of 4 recordings"


def test_on_a_narrow_screen_only_the_list_scrolls_sideways(three_recordings, visit):
    browser = visit(three_recordings)
    narrow = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    try:
        assert browser.execute_script("return innerWidth") == 390
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        choose(browser, "short.wav")
        assert browser.execute_script("return document.querySelector('#rows button').offsetWidth") > 60
        choose(browser, "long.wav")  # which brings it into view, above the list
        assert -1 < browser.execute_script("return $('detail').getBoundingClientRect().top") < 400
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [1101, 1200, 1366])
def test_names_have_room_beside_all_columns(three_recordings, visit, width):
    browser = visit(three_recordings)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert browser.execute_script("return document.querySelector('#columns th').offsetWidth") > 110
        assert browser.execute_script("return document.querySelector('.scroll').scrollWidth") <= width // 2
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_gaps_that_were_filled_can_be_listened_to(three_recordings, visit):
    text = three_recordings.read_text()
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    entry = next(entry for entry in data["entries"] if entry["name"] == "long.wav")
    gap = {"kind": "dropout", "channel": 2, "by": "linear prediction"}
    found = [{"start": 5 + k / 1000, "end": 5.02 + k / 1000, **gap} for k in range(600)]
    record = {"input": "long.wav", "status": "done", "start": 2.0, "gaps": found}
    entry |= {name: value for name, value in pages.entry(record).items() if name.startswith("gaps")}
    page = three_recordings.with_name("gaps.html")
    page.write_text(text[: text.index('id="data">') + 10] + json.dumps(data) + text[text.index("</script>") :])
    browser = visit(page)
    choose(browser, "long.wav")
    wait(browser, LOADED)
    buttons = browser.find_elements(By.CSS_SELECTOR, "#texts .gaps button")
    assert len(buttons) == 500 and browser.find_element(By.CSS_SELECTOR, "#texts h3").text == "Filled gaps (600)"
    assert buttons[0].text == "0:03.00: 20.0 ms, dropout, channel 2, linear prediction"
    buttons[0].click()
    assert browser.execute_script("return player.region") == pytest.approx([2.0, 4.02])
    assert browser.execute_script("return player.time") == pytest.approx(2.0)


def test_a_failed_recording_shows_its_error(three_recordings, visit):
    browser = visit(three_recordings)
    choose(browser, "broken.wav")
    assert browser.find_element(By.ID, "problem").text.startswith("in/broken.wav is truncated")
    assert not browser.find_element(By.ID, "player").is_displayed()


def test_one_file_with_everything_in_it_plays_without_the_others(tmp_path, make_page, visit):
    zoo.save(tmp_path / "in" / "a.wav", zoo.noise(frames=32000))
    page = make_page(embed=True)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "review.html"}
    alone = tmp_path / "elsewhere.html"
    alone.write_bytes(page.read_bytes())
    for folder in ("in", "out"):
        (tmp_path / folder / "a.wav").unlink()
    browser = visit(alone)
    wait(browser, LOADED)
    assert browser.execute_script("return player.takes.map((take) => take.audio.duration)") == [2, 2]


def test_the_page_obeys_its_own_policy_and_asks_nobody_else(three_recordings, visit):
    """No script of the data runs, whatever names and notes hold, and nothing comes from a network."""
    text = three_recordings.read_text()
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    data["entries"][1]["name"] = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    evil = three_recordings.with_name("evil.html")
    escaped = json.dumps(data).replace("<", "\\u003c")
    evil.write_text(text[: text.index('id="data">') + 10] + escaped + text[text.index("</script>") :])
    browser = visit(evil)
    assert any("<script>" in name for name in names(browser))
    assert browser.execute_script("return window.broken") is None
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(three_recordings, visit, scheme):
    axe = Path(pytest.importorskip("axe_core_python").__file__).with_name("axe.min.js")
    browser = visit(three_recordings)
    scheme = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    choose(browser, "middle.flac")
    wait(browser, LOADED)
    browser.execute_script(axe.read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run().then(({ violations, passes }) => done([passes.length, violations.map("
        "(rule) => [rule.id, rule.help, ...rule.nodes.map((node) => node.target.join(' '))])]))"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found[1] == [] and found[0] > 20
