"""The commands in the documents work as they are typed: the README's are run, those of all pages have the flags they name."""

import re
import shlex
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import typer

from enhance_cli.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(path for path in (ROOT / "docs").glob("*.md") if path.name != "cli.md")]
BLOCK = re.compile(r"```(?:sh|bash|yaml)\n(.*?)```", re.DOTALL)
END = re.compile(r"[|&;<>)]+")  # of a command within a line of shell


def commands(path: Path) -> list[list[str]]:
    """The words after `enhance` of every command in blocks of shell, without the rest of the line."""
    text = "\n".join(BLOCK.findall(path.read_text(encoding="utf-8"))).replace("\\\n", " ")
    found = []
    for line in re.findall(r"(?:^|[\s/(])enhance (.*)$", text, re.MULTILINE):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.wordchars += "@$*?[]{}:%="
        words = list(lexer)
        ends = [k for k, word in enumerate(words) if END.fullmatch(word)]
        found.append(words[: min(ends, default=len(words))])
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_flags_exist(path):
    table = typer.main.get_command(app)
    for words in commands(path):
        command, rest = table, words
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, f"enhance {' '.join(words)}"
            command, rest = command.commands[rest[0]], rest[1:]
        known = {"--help"}.union(*(parameter.opts + parameter.secondary_opts for parameter in command.params))
        flags = [word.partition("=")[0] for word in rest if re.match("--?[a-z]", word)]
        assert not [flag for flag in flags if flag not in known], f"enhance {' '.join(words)}"


def test_the_readme_has_commands():
    assert len(commands(ROOT / "README.md")) > 10


@pytest.fixture
def folder(tmp_path) -> Path:
    """The recordings that the README speaks of, two seconds each."""
    audio, rate = soundfile.read(ROOT / "tests" / "audio_files" / "noisy_speech.flac", frames=32000, dtype="float32")
    (tmp_path / "recordings" / "monday").mkdir(parents=True)
    for name in ("in", "call", "enrolled", "interview", "field", "song", "recordings/monday/1"):
        soundfile.write(tmp_path / f"{name}.wav", audio, rate)
    (tmp_path / "files.txt").write_text("in.wav\ncall.wav\n")
    with av.open(tmp_path / "talk.m4a", "w") as talk, av.open(tmp_path / "film.mkv", "w") as film:
        for container, pictures in ((talk, 0), (film, 20)):
            sound = container.add_stream("aac", rate=rate, layout="mono")
            video = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p") if pictures else None
            for number in range(pictures):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 12 * number, np.uint8), format="rgb24")
                picture.pts = number
                container.mux(video.encode(picture))
            frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            container.mux(sound.encode(frame))
            for stream in (sound, video) if video else (sound,):
                container.mux(stream.encode(None))
    for part in ("train", "valid"):
        shutil.copytree(ROOT / "tests" / "audio_files" / "pairs", tmp_path / "PAIRS" / part)
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_readme_work_as_typed(folder, enhance):
    """Training is planned only, and needs a CORPUS for its first line, which is left out."""
    for words in commands(ROOT / "README.md"):
        if words[0] == "train":
            if "CORPUS" in words:
                continue
            words = [*words, "--dry-run"]
        done = enhance(*words)
        assert done.code == 0, f"enhance {' '.join(words)}: {done.stderr}"
    for made in (
        "in_denoised.wav",
        "call_extended.wav",
        "song_piano.wav",
        "clean/monday/1.wav",
        "review.html",
        "talk.wav",
    ):
        assert (folder / made).stat().st_size > 1000
    assert (folder / "film_denoised.mkv").stat().st_size > 1000 and (folder / "talk.wav.png").exists()


@pytest.mark.slow
def test_the_python_of_the_readme_runs():
    audio, rate = soundfile.read(ROOT / "tests" / "audio_files" / "noisy_speech.flac", frames=32000, dtype="float32")
    vectors = np.random.default_rng(0).standard_normal((3, 256)).astype(np.float32)
    names = {"audio": audio[None], "rate": rate, "vectors": vectors}
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    exec(code, names)
    assert names["clean"].shape == (1, 32000) and names["better"].shape == (3, 256)
    assert {name: stem.shape for name, stem in names["stems"].items()} == dict.fromkeys(
        ("bass", "drums", "guitar", "piano"), (1, 32000)
    )
