"""Everything that staff decide: one registry of actions, one table of approvals, one way to take an action.

An action is data: its name, body, roles, who approves it, and the function that applies it. `action` defines it,
`registry` lists all, `execution` takes one or has it approved, `bodies` holds the forms, `texts.toml` what staff read.
Add an action to the module of its topic, and its title and effects to the texts; route, form and command follow.
May import `jobs` and lower packages; never `api` or `events`.
"""
