"""The console: where people see the numbers and set things up. Server-made HTML that works without JavaScript.

It reads over the query service's own API with a signed key (`services.web.console_key`), so a page and the API show the
same numbers, and writes through the control plane, each change with an entry in the log of changes.

    access/     passwords, sessions, CSRF, throttling: who may see a page
    i18n/       languages, numbers, times
    charts/     facts in, SVG out. Pure.
    pages/      a module for each area, with its routes
"""
