"""People at the console in a browser: with a mouse or with the keyboard alone, in English or in Chinese.

A test names what a person uses by its English text; it is looked for under the text that the console's own catalogue
has in the person's language. So one test holds for both devices and both languages.
"""

import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

from console_texts import english_texts_left

from services.console.i18n.catalogue import translations_of
from services.web.envelope import Language

LOCALES: Final[dict[Language, str]] = {"en": "en", "zh": "zh-CN"}
MAX_TABS: Final = 150
_FOCUSED: Final = """wanted => {
    const at = document.activeElement;
    if (!at || at === document.body) return {isThere: false, next: ['Tab'], problem: ''};
    const style = getComputedStyle(at), box = at.getClientRects()[0] ?? new DOMRect();
    const middle = (from, to, end) => (Math.max(from, 0) + Math.min(to, end)) / 2;
    const top = document.elementFromPoint(
        middle(box.left, box.right, innerWidth), middle(box.top, box.bottom, innerHeight));
    const isMarked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    const problem = !isMarked ? 'is not marked' : at.contains(top) ? '' : 'is out of sight';
    const isBehind = at.compareDocumentPosition(wanted) & Node.DOCUMENT_POSITION_PRECEDING;
    return {
        isThere: at === wanted,
        next: at.matches('.skip') && wanted.closest('#content') ? ['Enter', 'Tab'] : [isBehind ? 'Shift+Tab' : 'Tab'],
        problem: problem && `the focus ${problem}: ${at.outerHTML.slice(0, 200)}`,
    };
}"""
"""What is wrong with how the focus is shown, and which keys bring it nearer to an element."""


class Person(ABC):
    """A person with a page open. All waits are Playwright's, which end after 30 s."""

    def __init__(self, page: Any, language: Language) -> None:
        self.page = page
        self.language = language

    @abstractmethod
    def rest_on(self, place: Any) -> None:
        """Put the pointer or the focus on an element."""

    @abstractmethod
    def enter(self, place: Any) -> None:
        """Put the focus into a field."""

    @abstractmethod
    def press(self, place: Any) -> None:
        """Use a link or a button, or open what a summary hides."""

    @abstractmethod
    def tick(self, place: Any) -> None:
        """Turn a checkbox round."""

    @abstractmethod
    def choose_in(self, place: Any, option: str) -> None:
        """Choose an option, named as it is shown, in a `select`."""

    def text(self, english: str, **values: object) -> str:
        """Translate a text of the catalogue into the person's language."""
        translated = translations_of(self.language).gettext(english)
        assert self.language == "en" or translated != english, f"{english!r} is no text of the catalogue"
        return translated % values if values else translated

    def thing(self, role: str, english: str, **values: object) -> Any:
        """Find the first element of a role whose accessible name is a text; a hint or a mark may follow that."""
        return self.page.get_by_role(role, name=self._named(english, **values)).first

    def field(self, english: str, **values: object) -> Any:
        """Find a field by its label."""
        return self.page.get_by_label(self._named(english, **values)).first

    def _named(self, english: str, **values: object) -> re.Pattern[str]:
        return re.compile(rf"^\s*{re.escape(self.text(english, **values))}(\s|$)")

    def go(self, place: Any) -> None:
        """Use a link or a button, and wait for the page it leads to."""
        with self.page.expect_navigation():
            self.press(place)

    def follow(self, english: str) -> None:
        self.go(self.thing("link", english))

    def push(self, english: str) -> None:
        self.go(self.thing("button", english))

    def type_into(self, english: str, typed: str, **values: object) -> None:
        """Replace what a field holds."""
        self.enter(self.field(english, **values))
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(typed)

    def choose(self, english: str, option: str) -> None:
        """Choose an option by its text in the catalogue."""
        self.choose_in(self.field(english), self.text(option))

    def upload(self, english: str, name: str, content: str) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.press(self.field(english))
        chooser.value.set_files({"name": name, "mimeType": "text/csv", "buffer": content.encode()})

    def download(self, english: str) -> str:
        """Follow a link to a file and return its text."""
        with self.page.expect_download() as download:
            self.press(self.thing("link", english))
        return Path(download.value.path()).read_text("utf-8-sig")

    def sees(self, english: str, **values: object) -> None:
        """Wait until a text is shown; in Chinese, no text of the page may have stayed English."""
        self.page.get_by_text(self.text(english, **values)).first.wait_for()
        if self.language == "zh":
            assert english_texts_left(self.page.content()) == set(), self.page.url

    def opens(self, english: str, **values: object) -> None:
        """Wait until a page with this heading is there."""
        self.thing("heading", english, **values).wait_for()


class Mouse(Person):
    """Points and clicks; only texts are typed."""

    def rest_on(self, place: Any) -> None:
        place.hover()

    def enter(self, place: Any) -> None:
        place.click()

    def press(self, place: Any) -> None:
        place.click()

    def tick(self, place: Any) -> None:
        place.click()

    def choose_in(self, place: Any, option: str) -> None:
        place.select_option(label=option)


class Keyboard(Person):
    """Goes from element to element by the tab key, forth and back, and from the start of a page over the link that
    skips the menu. The focus must be marked and in sight wherever it comes.
    """

    def rest_on(self, place: Any) -> None:
        self.enter(place)

    def enter(self, place: Any) -> None:
        wanted = place.element_handle()
        for _ in range(MAX_TABS):
            focus = wanted.evaluate(_FOCUSED)
            assert not focus["problem"], f"{focus['problem']} at {self.page.url}"
            if focus["isThere"]:
                return
            for key in focus["next"]:
                self.page.keyboard.press(key)
        raise AssertionError(f"{place} is not reached in {MAX_TABS} steps at {self.page.url}")

    def press(self, place: Any) -> None:
        self.enter(place)
        self.page.keyboard.press("Enter")

    def tick(self, place: Any) -> None:
        self.enter(place)
        self.page.keyboard.press("Space")

    def choose_in(self, place: Any, option: str) -> None:
        self.enter(place)
        shown = "select => select.selectedOptions[0].label"
        self.page.keyboard.press("Home")
        for _ in range(place.locator("option").count()):
            if place.evaluate(shown) == option:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{option!r} is none of the options of {place}")


DEVICES: Final[dict[str, type[Person]]] = {"mouse": Mouse, "keyboard": Keyboard}
