"""The HTTP API: routes, their answers, admission, and every error as a problem.

A route reads, calls one function of a lower package and shows the result.
May import every other package; `app` puts it together with the portal and the console.
"""
