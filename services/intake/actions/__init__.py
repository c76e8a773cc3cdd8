"""Everything that staff decide: one registry of actions, one table of approvals, one way to take an action.

An action is data: its name, title, body, roles, who approves it, and the function that applies it. `action` defines it,
`registry` lists all, `performing` takes one or has it approved, `bodies` holds the forms.
Add an action to the module of its topic; route, form, command and OpenAPI follow.
May import `jobs` and lower packages; never `api` or `events`.
"""
