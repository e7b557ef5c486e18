// Prisma's own pg adapter with what it lacks for LiteLLM: Postgres' catalogue types, a pool that survives its
// server, a wait limit of its own for interactive transactions, and errors kept for errors.js to name.
import { ok, err } from '@prisma/driver-adapter-utils'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { parse as parseArray } from 'postgres-array'

const OID = { char: 18, name: 19, text: 25, jsonArray: 199, nameArray: 1003, textArray: 1009 }
Object.assign(OID, { timestampArray: 1115, timestamptzArray: 1185, jsonbArray: 3807 })

// Types that the adapter's table lacks, and the one that it knows and that reads the same.
const READS_AS = new Map([
  [OID.char, OID.text],
  [OID.name, OID.text],
  [OID.nameArray, OID.textArray],
  [OID.timestamptzArray, OID.timestampArray],
])
// Their cells, and those of Json lists, which pg would parse where the engine wants each item's text.
const items = (convert) => (text) => parseArray(text, convert)
pg.types.setTypeParser(OID.nameArray, items(String))
pg.types.setTypeParser(OID.jsonArray, items(String))
pg.types.setTypeParser(OID.jsonbArray, items(String))
pg.types.setTypeParser(OID.timestamptzArray, items((text) => text.split('+')[0])) // the session is in UTC

const IDLE_CONNECTION_LIFETIME = 300_000

export function createPool(database, report) {
  // The pool's own timeout is the wait for a free connection; a connection attempt has a shorter one.
  class Client extends pg.Client {
    constructor(config) {
      // the pool hides the password from enumeration, so the spread alone would lose it
      super({ ...config, password: database.password, connectionTimeoutMillis: database.connectTimeout })
    }
  }
  const pool = new pg.Pool({
    Client,
    host: database.host,
    port: database.port,
    user: database.user,
    password: database.password,
    database: database.database,
    ssl: database.ssl,
    options: database.options,
    application_name: database.applicationName,
    max: database.connectionLimit,
    connectionTimeoutMillis: database.poolTimeout,
    idleTimeoutMillis: IDLE_CONNECTION_LIFETIME,
    keepAlive: true,
  })
  pool.on('error', report) // an idle connection died: the pool has dropped it and opens another when asked
  pool.on('connect', (client) => client.on('error', report)) // a busy one died: its query fails, nothing else does
  return pool
}

// adapter-pg exports only the class for pools; its parent is the one that holds a single connection too.
const PgQueryable = Object.getPrototypeOf(PrismaPg)

class Queryable extends PgQueryable {
  async performIO(query) {
    const result = await super.performIO(query)
    return result.ok ? ok(withKnownTypes(result.value)) : result
  }
}

function withKnownTypes(result) {
  for (const field of result.fields) field.dataTypeID = READS_AS.get(field.dataTypeID) ?? field.dataTypeID
  return result
}

class Transaction extends Queryable {
  options = { usePhantomQuery: false }
  #released = false

  commit = async () => this.#release()
  rollback = async () => this.#release()

  // The engine comes here however its transaction ended; the pool throws a connection away that has broken.
  #release() {
    if (!this.#released) {
      this.#released = true
      this.client.release()
    }
    return ok(undefined)
  }
}

export class Adapter extends Queryable {
  #pool
  #schema
  #reserved = []

  constructor(pool, schema) {
    super(pool)
    this.#pool = pool
    this.#schema = schema
  }

  getConnectionInfo() {
    return ok({ schemaName: this.#schema })
  }

  /** Take a connection for the next transaction, or undefined when none is free within `wait` milliseconds. */
  async reserve(wait) {
    const pending = this.#pool.connect()
    const timeout = new Promise((resolve) => setTimeout(resolve, wait, undefined).unref())
    const client = await Promise.race([pending, timeout])
    if (client) this.#reserved.push(client)
    else pending.then((late) => late.release(), () => {})
    return client !== undefined
  }

  async startTransaction() {
    const client = this.#reserved.shift() ?? (await this.#pool.connect())
    return ok(new Transaction(client))
  }
}

/** What the engine calls: the adapter with each thrown error kept under a number, in `failures`. */
export function bind(adapter, failures) {
  const method = (target, name) => async (...args) => {
    try {
      return await target[name](...args)
    } catch (error) {
      return err(failures.keep(error))
    }
  }
  const queryable = (target) => ({
    adapterName: target.adapterName,
    provider: target.provider,
    queryRaw: method(target, 'queryRaw'),
    executeRaw: method(target, 'executeRaw'),
  })
  const startTransaction = method(adapter, 'startTransaction')
  return {
    ...queryable(adapter),
    getConnectionInfo: () => adapter.getConnectionInfo(),
    startTransaction: async () =>
      (await startTransaction()).map((transaction) => ({
        ...queryable(transaction),
        options: transaction.options,
        commit: method(transaction, 'commit'),
        rollback: method(transaction, 'rollback'),
      })),
  }
}
