"""Places and times of the stories in the domain's tests."""

from collections.abc import Callable
from typing import Any

SITE = "https://shop.example.com"
AD = SITE + "/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"
BAIDU = "https://www.baidu.com/"
HOUR = 60
"""In minutes, as a story counts."""
DAY = 24 * HOUR
START_MS = 20_000 * 86_400_000 + 10 * 3_600_000
"""Ten in the morning, UTC."""

MakePerson = Callable[..., Any]
