"""Pages of real batches, and a real Chromium that opens them."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.page.writer import PageWriter
from tests import audio_zoo as zoo


def speech_like(seconds: float, rate: int, seed: int) -> np.ndarray:
    """(1, N) bursts of tones in noise, so that there is something to remove and something to keep."""
    time = np.arange(round(seconds * rate)) / rate
    burst = (np.sin(2 * np.pi * 1.3 * time) > 0) * np.sin(2 * np.pi * 440 * time)
    noise = np.random.default_rng(seed).standard_normal(time.size)
    return (0.2 * burst + 0.02 * noise).astype(np.float32)[None]


def quieter(share: float) -> Callable:
    """A transform that takes away `share` of the whole signal."""
    return lambda blocks, rate, channels, level: (block * np.float32(1 - share) for block in blocks)


def _page(
    folder: Path, *, process=quieter(0.5), options=FileOptions(), embed=False, name="review.html", **planning
) -> Path:
    """Do a batch on in/ of the current folder, which is `folder`, as a command does it, with a page."""
    with PageWriter(Path(name), embed=embed) as page:
        jobs = plan(expand(["in"]), "out", **planning)
        facts = {"folder": str(folder), "start": options.start or None, "channel": options.channels}
        run(jobs, lambda job: enhance_file(job, process, options), facts, page.add)
    return folder / name


@pytest.fixture
def make_page(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Do a batch on in/ as a command does it, with a page; returns the page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return partial(_page, tmp_path)


def _page_of_three(folder: Path) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    zoo.save(folder / "in" / "short.wav", speech_like(1.5, 16000, 1), 16000)
    zoo.save(folder / "in" / "middle.flac", speech_like(4, 48000, 2), 48000, container="FLAC")
    zoo.save(folder / "in" / "long.wav", speech_like(9, 16000, 3), 16000)
    broken = zoo.save(folder / "in" / "broken.wav", speech_like(1, 16000, 4), 16000)
    broken.write_bytes(broken.read_bytes()[:9000])
    return _page(folder)


@pytest.fixture(scope="session")
def three_recordings(tmp_path_factory) -> Path:
    """A page of short.wav (1.5 s, 16 kHz), middle.flac (4 s, 48 kHz), long.wav (9 s, 16 kHz), and broken.wav."""
    folder = tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return _page_of_three(folder)


@pytest.fixture
def own_three_recordings(tmp_path, make_page) -> Path:
    """The same, for a test that changes its files."""
    return _page_of_three(tmp_path)


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium (Debian: chromium and chromium-driver), which plays sound without a click of a user."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("headless=new", "no-sandbox", "autoplay-policy=no-user-gesture-required", "window-size=1400,1000"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


@pytest.fixture
def visit(chromium) -> Callable[[Path], object]:
    """Open a page from the disk; afterwards the browser must not have complained."""
    chromium.get_log("browser")

    def open_page(page: Path):
        chromium.get("about:blank")
        chromium.get_log("performance")  # of pages before
        chromium.get(page.as_uri())
        return chromium

    yield open_page
    complaints = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    chromium.get("about:blank")  # or it would go on playing, beside all later tests
    assert not complaints
