"""The studio: edit one picture in the browser, by many combinations and editors side by side."""
