"""Works SQL stores, PostgreSQL and MariaDB, as their datasets declare them.

``adapter`` is what the services call; ``system`` is a store for the engine, with one transaction for each unit.
``dataset`` and ``declaration`` read a dataset, ``drafting`` drafts one, and ``check`` compares it with the live store.
``search`` finds rows, ``tables`` and ``values`` make records of them, and ``change`` writes them.
``notes`` writes the platform's own tables in the store.
``server`` is what ``postgresql`` and ``mariadb`` have in common; ``catalog`` describes the live tables.
"""
