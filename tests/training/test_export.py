"""What an exported model says of where it was made."""

import subprocess

from enhance_cli.training import export


def test_the_commit_is_that_of_the_tree_a_file_is_kept_in_and_nothing_elsewhere(tmp_path, monkeypatch):
    git = lambda *words: subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True, text=True)
    git("init")
    for name in ("kept.py", "installed.py"):
        (tmp_path / name).touch()
    git("add", "kept.py")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "one")
    assert export.commit(tmp_path / "kept.py") == git("rev-parse", "HEAD").stdout.strip()
    assert export.commit(tmp_path / "installed.py") == ""
    monkeypatch.setenv("PATH", "")  # no git
    assert export.commit(tmp_path / "kept.py") == ""
