"""LiteLLM's schema migrations, applied once by the `migrate` job so that no replica ever changes the schema.

    files.py     the shipped migrations: name, SQL, checksum
    sql.py       which SQL must run outside a transaction
    decide.py    pure: shipped + ledger → what to do, or a refusal
    database.py  connection, advisory lock, Prisma's ledger
    indexes.py   what LiteLLM builds after its migrations
    run.py       the order of it all

Runs in the small `tollgate` image: nothing here imports more than the standard library, psycopg and this package.
"""
