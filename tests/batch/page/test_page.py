"""The page as a file: what it says of every recording, what it needs beside it, and what it refuses."""

import json
import os
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from enhance_cli.batch.files import FileOptions
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.page.writer import MOST_EMBEDDED, PageWriter, check_page, folder_of
from enhance_cli.errors import UsageError
from tests import audio_zoo as zoo


def entries(page: Path) -> dict[str, dict]:
    data = json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])
    return {entry["name"]: entry for entry in data["entries"]}


def unchanged(blocks, rate, channels, level):
    return blocks


def test_levels_change_notes_and_errors_are_on_the_page(three_recordings):
    found = entries(three_recordings)
    long, broken = found["long.wav"], found["broken.wav"]
    before, after = long["levels"]
    assert after["peak"] == pytest.approx(before["peak"] - 6.02, abs=0.02)
    assert after["loudness"] == pytest.approx(before["loudness"] - 6.02, abs=0.05)
    assert long["change"] == pytest.approx(6, abs=0.3) and long["seconds"] == 9
    assert [take["rate"] for take in found["middle.flac"]["takes"]] == [48000, 48000]
    assert broken["status"] == "failed" and "truncated" in broken["reason"] and broken["takes"] == []


def test_every_address_leads_to_a_file_whatever_its_name(tmp_path, make_page):
    names = ["a b#c?d%41.wav", "\u00fcml\u00e4ut & <b>.flac", "c:d.wav", os.fsdecode(b"not\xffutf8.wav")]
    for name in names:
        container = "FLAC" if name.endswith("flac") else "WAV"
        zoo.save(tmp_path / "in" / "x", zoo.noise(), container=container).rename(tmp_path / "in" / name)
    page = make_page(process=unchanged)
    found = entries(page)
    assert len(found) == len(names)
    for entry in found.values():
        assert len(entry["takes"]) == 2, entry["problem"]
        for take in entry["takes"]:
            for address in (take["href"], take["wave"], take["spectrogram"], take["link"]):
                assert address.startswith("./") and os.path.getsize(
                    page.parent / unquote(address, errors="surrogateescape")
                )


def test_a_format_that_browsers_do_not_play_is_copied_and_a_section_is_found_again(tmp_path, make_page):
    zoo.save(tmp_path / "in" / "a.aiff", zoo.noise(frames=48000), container="AIFF")
    zoo.save(tmp_path / "in" / "b.wav", zoo.noise(2, frames=48000))
    found = entries(make_page(process=unchanged, options=FileOptions(start=1.0, duration=0.5)))
    assert [take["href"].endswith(".flac") for take in found["a.aiff"]["takes"]] == [True, True]
    before, after = found["b.wav"]["takes"]
    assert (before["offset"], after["offset"], found["b.wav"]["duration"]) == (1.0, 0.0, 0.5)
    assert before["href"] == "./in/b.wav" and found["b.wav"]["change"] == 0


def test_one_channel_is_compared_with_that_channel(tmp_path, make_page):
    stereo = np.concatenate([zoo.noise(seed=1), np.zeros((1, 16000), np.float32)])
    zoo.save(tmp_path / "in" / "a.wav", stereo)
    (entry,) = entries(make_page(process=unchanged, options=FileOptions(channels="1"))).values()
    assert entry["takes"][0]["href"].startswith("./review_files/") and entry["change"] == 0


def test_parts_stand_beside_their_mix(tmp_path):
    for name in ("mix", "drums", "rest"):
        zoo.save(tmp_path / f"{name}.wav", zoo.noise())
    level = {"loudness": -20.0, "peak": -3.0, "noise_floor": None}
    record = {
        "input": "mix.wav", "folder": str(tmp_path), "status": "done", "seconds_audio": 1.0, "loudness_before": -18.0,
        "outputs": {name: f"{name}.wav" for name in ("drums", "rest")}, "parts": {"drums": level, "rest": level},
    }  # fmt: skip
    with PageWriter(tmp_path / "p.html") as page:
        page.add(record)
    (entry,) = entries(tmp_path / "p.html").values()
    assert [take["label"] for take in entry["takes"]] == ["mix", "drums", "rest"]
    assert [level["loudness"] for level in entry["levels"]] == [-18, -20, -20] and entry["change"] is None


def test_recordings_that_are_gone_are_named_and_keep_their_levels(own_three_recordings, tmp_path):
    (tmp_path / "out" / "long.wav").unlink()
    record = {"input": "in/long.wav", "output": "out/long.wav", "status": "done", "folder": str(tmp_path)}
    with PageWriter(tmp_path / "again.html") as page:
        page.add(record | {"peak_before": -10.0, "peak_after": -16.0})
        page.add({"input": "-", "output": "-", "status": "done", "folder": str(tmp_path)})
    found = entries(tmp_path / "again.html")
    assert "out/long.wav does not exist" in found["in/long.wav"]["problem"]
    assert [level["peak"] for level in found["in/long.wav"]["levels"]] == [-10, -16]
    assert [take["label"] for take in found["in/long.wav"]["takes"]] == ["before"]
    assert found["-"]["takes"] == [] and "not a file on this machine" in found["-"]["problem"]


def test_what_was_drawn_is_drawn_again_only_when_a_recording_has_changed(own_three_recordings, make_page, tmp_path):
    folder = folder_of(own_three_recordings)
    drawn = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.webp")}
    zoo.save(tmp_path / "in" / "short.wav", zoo.noise())
    (tmp_path / "out" / "short.wav").unlink()
    make_page()
    again = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.webp")}
    assert again.keys() == drawn.keys()
    assert {name.partition("-")[0] for name in drawn if again[name] != drawn[name]} == {"short"}


def test_copies_beside_a_page_are_not_taken_for_inputs(tmp_path, make_page):
    zoo.save(tmp_path / "in" / "a.aiff", zoo.noise(), container="AIFF")
    make_page(name="in/review.html")
    assert list(folder_of(tmp_path / "in" / "review.html").glob("*.flac"))
    assert [item.path.name for item in expand(["in"], recursive=True)] == ["a.aiff"]


def test_pages_that_cannot_be_written_are_refused_before_any_work(tmp_path):
    other = tmp_path / "mine.html"
    other.write_text("<p>my own page")
    (tmp_path / "taken_files").mkdir()
    (tmp_path / "taken_files" / "a.txt").touch()
    for name, reason in {
        "review.txt": "must end in .html", "none/review.html": "there is no folder", "mine.html": "not a page of enhance",
        "taken.html": "holds other files", ".": "must end in .html",
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=reason):
            check_page(tmp_path / name, 1, embed=False)
    with pytest.raises(UsageError, match="too many for one file"):
        check_page(tmp_path / "a.html", MOST_EMBEDDED + 1, embed=True)
    check_page(tmp_path / "taken.html", 1, embed=True)
    assert other.read_text() == "<p>my own page"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="may not be written"):
        check_page(tmp_path / "a.html", 1, embed=False)


def test_hundreds_of_recordings_make_a_small_page(tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(frames=400))
    record = {"input": "a.wav", "output": "a.wav", "status": "done", "folder": str(tmp_path), "notes": ["one note"]}
    with PageWriter(tmp_path / "p.html") as page:
        for number in range(300):
            page.add({**record, "relative": f"folder/{number}.wav"})
    assert len(entries(tmp_path / "p.html")) == 300
    assert (tmp_path / "p.html").stat().st_size < 0.7e6
