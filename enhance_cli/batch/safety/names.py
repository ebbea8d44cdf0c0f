"""Recognize names that Windows does not store, or stores under another name.

Inputs from archives, object storage and other disks may have them, and so may results of a name template.
(https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file)
"""

DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{n}" for port in ("COM", "LPT") for n in "123456789¹²³"
}
FORBIDDEN = frozenset('<>:"|?*')


def refused_by_windows(name: str) -> str:
    """Return the reason why no file or folder of Windows can be called `name`, or "" for a name that is allowed."""
    if name.rstrip(". ") != name:
        return "it ends in a dot or a space"
    if name.split(".")[0].rstrip(" ").upper() in DEVICES:
        return "it is the name of a device"
    if wrong := sorted(FORBIDDEN & set(name)):
        return f"it holds {wrong[0]}"
    if any(ord(character) < 32 for character in name):
        return "it holds a control character"
    return ""
