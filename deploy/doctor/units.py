"""Durations and sizes as the doctor writes them."""


def duration(seconds: float) -> str:
    """Format a duration in at most two units: `3 d 4 h`, `12 min`, `4 s`."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    left = int(seconds)
    parts: list[str] = []
    for name, length in units:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count} {name}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def size(count_bytes: float) -> str:
    """Format a size in powers of 1024: `1.5 GB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if count_bytes < 1024:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1024
    return f"{count_bytes:.1f} TB"
