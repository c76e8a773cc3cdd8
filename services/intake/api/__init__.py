"""The HTTP API: `admission` admits a call, a route reads or takes one action, `problems` answers every error.

Start with `actions` (one route for every action) and `resources` (lists, reads and creates what staff work with).
`requests`, `submissions`, `downloads` and `plans` are about requests, `integrations` is for other systems.
A route calls one function of a lower package and shows the result; it holds no rule.
May import every other package; `app` puts it together with the portal and the console.
"""
