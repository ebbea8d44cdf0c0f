"""The table of `enhance models list`: on a terminal of 80 columns, on a wide one, and in a pipe."""

import json
import os
import subprocess
import sys

import pytest

from enhance_cli.commands.model_table import table


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    environment = os.environ | {"ENHANCE_HOME": str(tmp_path_factory.mktemp("home"))}
    command = [sys.executable, "-m", "enhance_cli", "models", "list", "--json"]
    listed = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return [json.loads(line) for line in listed.stdout.splitlines()]


def test_in_a_pipe_a_model_is_one_line_with_its_task_and_use(rows):
    head, *lines = table(rows, None)
    assert head.split()[:2] == ["model", "task"] and len(lines) == len(rows)
    for row in rows:
        (line,) = (line for line in lines if line.startswith(f"{row['name']} "))
        assert row["task"] in line and line.endswith(row["use_for"] or row["summary"])


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_fact_is_cut(rows, width):
    for task in {row["task"] for row in rows} | {None}:
        asked = [row for row in rows if task in (None, row["task"])]
        lines = table(asked, width)
        assert max(map(len, lines)) <= width
        for row in asked:
            text = " ".join(" ".join(lines).split())
            assert row["name"] in text and f" {row['sample_rate'] / 1000:g} " in text
            if width < 150:  # else a use may be cut by the facts of the next lines
                assert (row["use_for"] or row["summary"]) in text


def test_restrictions_unknown_sizes_and_sizes_are_marked(rows):
    lines = {line.split()[0]: line for line in table(rows, None)}
    assert "MIT (!)" in lines["fastenhancer-large-48k"] and "(!)" not in lines["fastenhancer-large-dns"]
    assert (
        " ? " in lines["sgmse-m1"]
        and " 913 " in lines["mel-roformer-vocals"]
        and " 0.1 " in lines["fastenhancer-tiny-dns"]
    )


def test_several_tasks_are_headings_and_one_is_none(rows):
    lines = table(rows, 80)
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    assert [line for line in lines if line.endswith(":")] == [f"{task}:" for task in tasks]
    assert not [line for line in table([row for row in rows if row["task"] == "denoise"], 80) if line.endswith(":")]


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_the_command_fits_the_terminal_that_it_writes_to(tmp_path):
    import pty

    leader, follower = pty.openpty()
    environment = os.environ | {"ENHANCE_HOME": str(tmp_path), "COLUMNS": "80"}
    command = [sys.executable, "-m", "enhance_cli", "models", "list", "--task", "guide"]
    subprocess.run(command, stdout=follower, stderr=subprocess.DEVNULL, env=environment, check=True)
    os.close(follower)
    lines = os.read(leader, 4096).decode().splitlines()
    os.close(leader)
    assert len(lines) == 3 and lines[2] == "    PANNs Cnn14 (decision level) finds voices for guided models"
