"""`--page` of the commands that make audio, and of `enhance report`."""

import json

from tests import audio_zoo as zoo


def data(path) -> dict:
    return json.loads(path.read_text().partition('id="data">')[2].partition("</script>")[0])


def test_a_batch_has_a_page_and_its_report_makes_the_same_one(enhance, tiny_model, tmp_path):
    (tmp_path / "in").mkdir()
    zoo.save(tmp_path / "in" / "a.wav", zoo.noise())
    zoo.save(tmp_path / "in" / "b.flac", zoo.noise(2), container="FLAC")
    told = enhance("denoise", "in", "-o", "out", "-m", tiny_model, "--page", "p.html", "--report", "r.jsonl")
    assert told.code == 0 and told.lines == ["out/a.wav", "out/b.flac"]
    assert "p.html: before and after" in told.stderr
    assert enhance("report", "r.jsonl", "--page", "q.html").code == 0
    first, second = (data(tmp_path / name)["entries"] for name in ("p.html", "q.html"))
    for entry in (*first, *second):
        assert entry["levels"][0]["loudness"] is not None and entry["change"] > 0
        assert any(line.startswith("model: ") for line in entry["settings"])
    same = ("name", "levels", "change", "notes", "seconds", "duration", "facts")
    assert [[entry[key] for key in same] for entry in first] == [[entry[key] for key in same] for entry in second]
    assert len(list((tmp_path / "p_files").glob("*.webp"))) == 4


def test_stems_of_a_song_on_one_page(enhance, stem_model, tmp_path):
    zoo.save(tmp_path / "song.wav", zoo.noise(2), 8000)
    told = enhance("extract-stem", "song.wav", "-m", stem_model, "-o", "out/", "--page", "p.html", "--page-embed")
    assert told.code == 0 and not (tmp_path / "p_files").exists()
    (entry,) = data(tmp_path / "p.html")["entries"]
    assert [take["label"] for take in entry["takes"]] == ["mix", "bass", "drums", "guitar", "piano"]
    assert all(take["href"].startswith("data:audio/flac") for take in entry["takes"])


def test_what_cannot_be_is_one_line_before_any_work(enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    for flags, reason in {
        ("--page", "none/p.html"): "there is no folder for this page",
        ("--page", "p.txt"): "this is no name of a page: use p.html",
        ("--page-embed",): "there is no page to put anything into",
    }.items():
        told = enhance("denoise", "a.wav", "-m", tiny_model, *flags)
        assert told.code == 2 and len(told.errors) == 1 and reason in told.errors[0]
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav"}
