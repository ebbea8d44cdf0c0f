"""Remembered settings: flags win over presets, presets over the file; mistakes are named with their line."""

import json
import sys
from pathlib import Path

import pytest
import soundfile
import typer

from enhance_cli import settings
from enhance_cli.cli import app
from enhance_cli.configured import ConfiguredCommand
from tests import audio_zoo as zoo

FILE = """\
[denoise]
strength = 0.5
loudness = -20
plot = true

[extract-stem]
stem = ["drums", "bass"]

[presets.mine]
loudness = -18.5
dither = "none"
"""


@pytest.fixture
def run(enhance, identity_model, tmp_path):
    """`enhance denoise in.wav -o out.wav` with the file of settings FILE and further flags: the end, and its record."""
    zoo.save(tmp_path / "in.wav", zoo.noise())
    (tmp_path / "c.toml").write_text(FILE)

    def run(*flags, config="c.toml"):
        words = ["denoise", "in.wav", "-o", "out.wav", "--existing", "overwrite", "-m", identity_model, "--json"]
        done = enhance(*words, "--config", config, *flags)
        return done, json.loads(done.stdout) if done.stdout.startswith(b"{") else None

    return run


def test_a_flag_wins_over_a_preset_and_a_preset_over_the_file(run, tmp_path):
    for flags, loudness, origin in [
        ((), -20, "c.toml, line 3"),
        (("--preset", "mine"), -18.5, "preset mine (c.toml, line 10)"),
        (("--preset", "podcast"), -16, "preset podcast"),
        (("--preset", "mine,broadcast"), -23, "preset broadcast"),
        (("--preset", "broadcast", "--preset", "mine"), -18.5, "preset mine (c.toml, line 10)"),
        (("--preset", "mine", "--loudness", "-25"), -25, "command line"),
    ]:
        done, record = run(*flags, "--no-plot")
        assert done.code == 0 and record["loudness_after"] == pytest.approx(loudness, abs=0.1)
        assert float(record["settings"]["loudness"]["value"]) == loudness
        assert record["settings"]["loudness"]["from"] == origin
        assert record["settings"]["strength"] == {"value": 0.5, "from": "c.toml, line 2"}
    assert not (tmp_path / "out.wav.png").exists(), "--no-plot wins over plot = true"
    assert "seed" not in record["settings"], "built-in defaults are left out"


def test_a_preset_may_be_the_default_of_a_command(run, tmp_path):
    (tmp_path / "d.toml").write_text('[denoise]\nloudness = -20\npreset = ["podcast, gentle"]\n')
    for flags, expected in [
        (
            (),
            {
                "loudness": "d.toml, line 2",
                "true-peak": "preset podcast",
                "limiter": "preset podcast",
                "max-attenuation": "preset gentle",
            },
        ),
        (("--preset", "broadcast"), dict.fromkeys(("loudness", "true-peak", "limiter"), "preset broadcast")),
        (("--preset", ""), {"loudness": "d.toml, line 2"}),
    ]:
        _, record = run(*flags, config="d.toml")
        origins = {name: found["from"] for name, found in record["settings"].items()}
        assert {name: origin for name, origin in origins.items() if origin != "command line"} == expected


def test_a_name_on_the_command_line_wins_over_a_remembered_format(run, tmp_path):
    done, record = run("--preset", "dataset", "--no-plot")
    info = soundfile.info(tmp_path / "out.wav")
    assert done.code == 0 and (info.format, info.subtype, info.samplerate) == ("WAV", "PCM_16", 16000)
    assert record["settings"]["sample-rate"]["from"] == "preset dataset" and "format" not in record["settings"]
    done, record = run("--preset", "dataset", "--no-plot", "-o", "out.flac")
    assert record["settings"]["format"]["from"] == "preset dataset"
    done, _ = run("--preset", "dataset", "--format", "flac")
    assert done.code == 2 and "--format flac does not fit a file named *.wav" in done.stderr


def test_a_file_that_an_editor_of_windows_has_written_is_read(run, tmp_path):
    (tmp_path / "w.toml").write_bytes(b"\xef\xbb\xbf[denoise]\r\nloudness = -20\r\n")
    _, record = run(config="w.toml")
    assert record["settings"]["loudness"] == {"value": "-20", "from": "w.toml, line 2"}


@pytest.mark.parametrize(
    "file, flags, expected",
    [
        ("", (), False),
        ("", ("-v",), True),
        ("", ("-rv",), True),
        ("[denoise]\nverbose = true\n", (), True),
        ("[denoise]\nverbose = true\nsteps = 99\n", ("--model", "denoise-s"), True),
        ("[denoise]\nverbose = true\n", ("--true-peak", "far"), True),
        ("[denoise]\nverbose = true\n", ("--no-verbose",), False),
        ("[presets.loud]\nverbose = true\n", ("--preset", "loud"), True),
    ],
)
def test_verbose_that_is_remembered_gives_tracebacks_of_early_errors_as_the_flag_does(
    enhance, tmp_path, file, flags, expected
):
    (tmp_path / "c.toml").write_text(file)
    done = enhance("denoise", "missing*.wav", "--config", "c.toml", *flags)
    assert done.code == 2 and done.errors and ("Traceback" in done.stderr) is expected
    assert "Traceback" not in enhance("models", "show", "no-such-model").stderr, "the next command is another"


def test_a_dry_run_says_what_comes_from_where(run):
    done, _ = run("--preset", "mine", "--dry-run")
    assert [json.loads(line)["output"] for line in done.lines] == ["out.wav"]
    said = done.stderr.splitlines()
    assert "loudness -18.5, from preset mine (c.toml, line 10)" in said
    assert "plot True, from c.toml, line 4" in said and "existing overwrite, from command line" in said


def test_a_dataset_is_of_mono_flac_at_16_khz(enhance, identity_model, tmp_path):
    zoo.save(tmp_path / "in.wav", zoo.noise(channels=2))
    done = enhance("denoise", "in.wav", "-m", identity_model, "--preset", "dataset")
    assert done.code == 0 and done.lines == ["in_denoised.flac"]
    info = soundfile.info(tmp_path / "in_denoised.flac")
    assert (info.format, info.samplerate, info.channels, info.subtype) == ("FLAC", 16000, 1, "PCM_16")


def test_peaks_stay_below_the_true_peak_that_is_asked_for(run):
    _, record = run("--loudness", "-3", "--true-peak", "-6", "--no-plot")
    assert record["peak_after"] <= -5.9 and "below -6 dBTP" in record["notes"][0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("loudnes = -20", "c.toml, line 3: unknown key 'loudnes': did you mean 'loudness'?"),
        ("dry-run = true", "c.toml, line 3: unknown key 'dry-run'"),
        ("loudness = 20", "--loudness 20: must be keep, or LUFS from -70 to 0 (from c.toml, line 3): use for"),
        ("steps = 'x'", "invalid value for '--steps' / '-n'"),
        ("existing = 'no'", "(from c.toml, line 3)"),
        ("model = 'denoise-x'", "unknown model 'denoise-x' (from c.toml, line 3)"),
        ("recursive = 1", "c.toml, line 3: recursive: must be true or false: fix the value"),
        ("loudness = true", "c.toml, line 3: loudness: must be a number or a text"),
        ("loudness = [-20]", "c.toml, line 3: loudness: must be a number or a text"),
        ("loudness", "c.toml: not valid TOML (Expected '=' after a key in a key/value pair (at line 3"),
        ("preset = 'podcats'", "c.toml, line 3: preset podcats: there is no such preset: did you mean 'podcast'?"),
        ("preset = 3", "c.toml, line 3: preset: must be a text or a list of texts"),
        ("[denois]", "c.toml, line 3: unknown command 'denois': did you mean 'denoise'?"),
        ("[presets]\nmine = 3\n[verify]", "c.toml, line 4: mine must be a table: write [presets.mine] above its keys"),
        (
            "[presets.new]\ntrue-peek = 3\n[verify]",
            "c.toml, line 4: unknown key 'true-peek': did you mean 'true-peak'?",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line(enhance, tmp_path, wrong, message):
    (tmp_path / "c.toml").write_text("\n".join(["[denoise]", "", wrong, "plot = true", ""]))
    (tmp_path / "in.wav").write_bytes(b"")
    done = enhance("denoise", "in.wav", "--config", "c.toml")
    assert done.code == (3 if "model" in wrong else 2) and len(done.errors) == 1
    assert message in done.errors[0]


def test_a_key_above_all_commands_is_told_its_place(enhance, tmp_path):
    (tmp_path / "c.toml").write_text("# mine\nloudness = -20\n\n[denoise]\nplot = true\n")
    done = enhance("denoise", "in.wav", "--config", "c.toml")
    assert done.code == 2 and done.errors == [
        "error: c.toml, line 2: loudness stands above all commands: write [denoise], or another command, above it"
    ]


def test_presets_that_do_not_exist_or_do_not_fit_are_refused(enhance, tmp_path):
    (tmp_path / "in.wav").write_bytes(b"")
    unknown = enhance("denoise", "in.wav", "--preset", "podcats")
    assert unknown.code == 2 and unknown.errors == [
        "error: --preset podcats: there is no such preset: did you mean 'podcast'?"
    ]
    other = enhance("enhance-embedding", "in.wav", "--preset", "gentle")
    assert other.code == 2 and other.errors[0].endswith("has no setting 'max-attenuation': it is for denoise")


def test_help_and_other_commands_do_not_mind_a_file_that_is_wrong(enhance, tmp_path):
    (tmp_path / "c.toml").write_text("[")
    assert enhance("denoise", "--config", "c.toml", "--help").code == 0
    assert enhance("denoise", "in.wav", "--config", "c.toml").code == 2
    missing = enhance("denoise", "in.wav", "--config", "d.toml")
    assert missing.errors == [
        "error: d.toml: these settings cannot be read (No such file or directory): check the name of the file"
    ]


def test_the_users_own_file_is_found_where_the_system_has_such_files(run_enhance, tmp_path, identity_model):
    home = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path), "ENHANCE_CONFIG": ""}
    own = Path(run_enhance("config", "path", env=home).lines[0])
    assert own.name == "config.toml" and tmp_path in own.parents
    zoo.save(tmp_path / "in.wav", zoo.noise())
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.safetensors").write_bytes(identity_model.read_bytes())
    own.parent.mkdir(parents=True)
    own.write_text('[denoise]\nmodel = "~/models/m.safetensors"\nname = "{stem}_{model}{ext}"\n')
    done = run_enhance("denoise", "in.wav", "--dry-run", env=home)
    assert done.code == 0 and done.lines == ["in_m.wav"]
    assert f"name {{stem}}_{{model}}{{ext}}, from {own}, line 3" in done.stderr


def test_what_is_shown_is_a_file_of_settings_that_does_the_same(enhance, tmp_path):
    (tmp_path / "c.toml").write_text(FILE)
    shown = enhance("config", "show", "--config", "c.toml")
    assert shown.code == 0 and shown.lines[0] == "# c.toml"
    assert "loudness = -20  # c.toml, line 3" in shown.lines and "loudness = -16  # preset podcast" in shown.lines
    (tmp_path / "copy.toml").write_bytes(shown.stdout)
    both = [settings.read_file(tmp_path / name) for name in ("c.toml", "copy.toml")]
    assert both[1].tables["denoise"] == both[0].tables["denoise"]
    assert both[1].presets == {**settings.shipped().presets, **both[0].presets}


def configured():
    commands = typer.main.get_command(app).commands
    return {name: command for name, command in commands.items() if isinstance(command, ConfiguredCommand)}


def test_shipped_presets_set_what_denoise_has():
    known = {name: command.settings for name, command in configured().items()}
    settings.check(settings.shipped(), known)
    for name, table in settings.shipped().presets.items():
        assert table and set(table) <= set(known["denoise"]), name
        assert name in known["denoise"]["seed"].help or any(name in p.help for p in configured()["denoise"].params)


@pytest.mark.parametrize("command", ["denoise", "extract-stem", "enhance-embedding"])
def test_every_switch_may_be_remembered_and_turned_off_again(command):
    switches = {p.opts[0]: p.secondary_opts for p in configured()[command].params if getattr(p, "is_flag", False)}
    del switches["--dry-run"]
    assert switches and all(off == [f"--no-{on[2:]}"] for on, off in switches.items())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permission bits")
def test_a_home_that_belongs_to_somebody_else_has_no_settings(monkeypatch, tmp_path, unprivileged):
    """As in `sudo -u` and in containers, which may leave HOME as it was."""
    own = tmp_path / "home" / "enhance"
    own.mkdir(parents=True)
    (own / "config.toml").write_text("[denoise]\nsteps = 2\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own.parent))
    assert settings.read_file(None).tables
    own.chmod(0)
    with unprivileged():
        assert not settings.read_file(None).tables
