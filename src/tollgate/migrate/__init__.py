"""LiteLLM's schema migrations. The `migrate` job applies them once; replicas never change the schema.

    files.py     the shipped migrations: name, SQL, checksum
    sql.py       which SQL must run outside a transaction
    decide.py    pure: shipped migrations + ledger → pending migrations, or an error
    database.py  connection, advisory lock, Prisma's ledger
    indexes.py   the indexes that LiteLLM builds after its migrations
    run.py       the order of the steps

It runs in the small `tollgate` image, so it imports only the standard library, psycopg and this package.
"""
