"""The query service: one folder per resource of the API, all of the same shape.

    parameters.py   the query parameters as callers write them, parsed into the typed question
    statements.py   the question, the rows, and the SQL that reads them; pure
    answers.py      the shapes of the answer, an example for the OpenAPI document, and rows → answer; pure
    view.py         rows → answer, where that is long; pure
    routes.py       the routes: they wait for the rows, and decide nothing

`core` is what every resource uses: access to ClickHouse, SQL, cursors, the list routes. `identity` tells which person
an id means; `aggregates` has the sums that `/attribution` and the reports share, `touches` the touch that
`/attribution` and the journey of a user share. A new list is a folder with these modules, whose route calls
`core.calls.ListCall.answer`, and a line in `app.ROUTERS`.
"""
