// Prisma's query engine, WebAssembly build, over one pool of connections.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { Adapter, bind, createPool } from './adapter.js'
import { decodeAnswer } from './answers.js'
import { connectionError, Failures, nameErrors, queryFailure, userFacing } from './errors.js'
import { Translator, UnsupportedQuery } from './graphql.js'

const NO_TRACE = '{}'
const SHORTEST_ID = 24 // the engine's own ids are longer, and it panics on a shorter one
const START_DEADLINE = 60_000 // for BEGIN itself; the wait for a connection is limited before that
const require = createRequire(import.meta.url)

async function loadRuntime() {
  const runtime = require('@prisma/client/runtime/query_engine_bg.postgresql.js')
  const wasm = await readFile(require.resolve('@prisma/client/runtime/query_engine_bg.postgresql.wasm'))
  const { instance } = await WebAssembly.instantiate(wasm, { './query_engine_bg.js': runtime })
  runtime.__wbg_set_wasm(instance.exports)
  return runtime.QueryEngine
}

/** Start an engine for a parsed schema. `report` is told of each connection that breaks; nothing is connected yet. */
export async function createEngine({ schema, database, rawQueries, report }) {
  const QueryEngine = await loadRuntime()
  const failures = new Failures()
  const pool = createPool(database, report)
  const adapter = new Adapter(pool, database.schema)
  const wasm = new QueryEngine(
    { datamodel: schema.datamodel, logLevel: 'error', logQueries: false, env: {}, engineProtocol: 'json' },
    () => {}, // its log lines repeat what the answers say, and may hold query values
    bind(adapter, failures),
  )
  await wasm.connect(NO_TRACE)
  return new Engine({ wasm, pool, adapter, failures, database, rawQueries, translator: new Translator(schema.models) })
}

class Engine {
  #parts

  constructor(parts) {
    this.#parts = parts
  }

  /** Answer one body of the GraphQL protocol, {query} or {batch: […], transaction}, outside or inside a transaction. */
  async query(body, transactionId) {
    try {
      return 'batch' in body ? await this.#batch(body, transactionId) : await this.#single(body.query, transactionId)
    } catch (error) {
      if (error instanceof UnsupportedQuery || error.name === 'GraphQLError') {
        return queryFailure(userFacing('P2009', `Failed to validate the query: ${error.message}`))
      }
      throw error
    }
  }

  async #single(text, transactionId) {
    const query = this.#translate(text)
    return decodeAnswer(await this.#ask(query.request, transactionId), query)
  }

  async #batch({ batch, transaction, isolationLevel }, transactionId) {
    const queries = batch.map(({ query }) => this.#translate(query))
    const request = { batch: queries.map(({ request }) => request) }
    if (transaction) request.transaction = { isolationLevel: isolationLevel ?? null }
    const answer = await this.#ask(request, transactionId)
    if (answer.errors?.length) return { errors: answer.errors }
    return { batchResult: answer.batchResult.map((part, index) => decodeAnswer(part, queries[index])) }
  }

  #translate(text) {
    const query = this.#parts.translator.translate(text)
    if (query.raw && !this.#parts.rawQueries) throw new UnsupportedQuery('raw queries are not enabled')
    return query
  }

  async #ask(request, transactionId) {
    const { wasm, failures, database } = this.#parts
    if (transactionId !== undefined && transactionId.length < SHORTEST_ID) return queryFailure(noSuchTransaction())
    return nameErrors(JSON.parse(await wasm.query(JSON.stringify(request), NO_TRACE, transactionId)), failures, database)
  }

  /** {id} or a user-facing error. Both limits are milliseconds: for a free connection, and for the whole transaction. */
  async startTransaction({ max_wait: wait = 2000, timeout = 5000, isolation_level: isolationLevel = null }) {
    const { wasm, adapter, failures, database } = this.#parts
    try {
      if (!(await adapter.reserve(wait))) {
        return userFacing('P2028', 'Transaction API error: Unable to start a transaction in the given time.', {
          error: 'Unable to start a transaction in the given time.',
        })
      }
    } catch (error) {
      const kept = failures.keep(error)
      return kept.kind === 'Postgres' ? refused(kept) : connectionError(failures.take(kept.id), database)
    }
    const input = { max_wait: START_DEADLINE, timeout, isolation_level: isolationLevel }
    return nameErrors(JSON.parse(await wasm.startTransaction(JSON.stringify(input), NO_TRACE)), failures, database)
  }

  commit(id) {
    return this.#endTransaction(id, 'commitTransaction')
  }

  rollback(id) {
    return this.#endTransaction(id, 'rollbackTransaction')
  }

  async #endTransaction(id, how) {
    const { wasm, failures, database } = this.#parts
    if (id.length < SHORTEST_ID) return noSuchTransaction()
    return nameErrors(JSON.parse(await wasm[how](id, NO_TRACE)), failures, database)
  }

  connections() {
    const { totalCount: open, idleCount: idle, waitingCount: waiting } = this.#parts.pool
    return { open, idle, busy: open - idle, waiting }
  }
}

function noSuchTransaction() {
  const error = 'Transaction not found. Transaction ID is invalid or refers to an old closed transaction.'
  return userFacing('P2028', `Transaction API error: ${error}`, { error })
}

/** Postgres answered and refused the connection (starting up, too many clients, wrong password). */
function refused({ code, severity, message }) {
  return { is_panic: false, message: `${severity}: ${message} (SQLSTATE ${code})`, meta: { code, message } }
}
