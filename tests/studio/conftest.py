"""The browser of the studio's tests."""

from tests.support.browser import chromium, open_local_page  # noqa: F401
