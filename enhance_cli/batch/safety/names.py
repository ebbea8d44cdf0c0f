"""Recognize file names that Windows cannot store, or stores under another name.

Inputs from archives, object storage and other disks may have such names, and so may results of a name template.
(https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file)
"""

DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{n}" for port in ("COM", "LPT") for n in "123456789¹²³"
}
FORBIDDEN = frozenset('<>:"|?*')


def refused_by_windows(name: str) -> str:
    """Return the reason why Windows does not allow this name for a file or folder, or "" if it does."""
    if name.rstrip(". ") != name:
        return "it ends in a dot or a space"
    if name.split(".")[0].rstrip(" ").upper() in DEVICES:
        return "it is the name of a device"
    if wrong := sorted(FORBIDDEN & set(name)):
        return f"it holds {wrong[0]}"
    if any(ord(character) < 32 for character in name):
        return "it holds a control character"
    return ""
