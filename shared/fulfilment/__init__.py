"""Works a request in every system: one task for each system and stage, then one outcome.

`fulfilments` opens tasks, `worker` works them under the `lease` of its process, and `completion` writes the results.
`handlers` subscribes a service to the events of requests and of system owners.
May import `messaging`, `runtime`, `storage`, `systems` and `domain`. It knows no adapter.
"""
