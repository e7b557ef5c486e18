// Errors in Prisma's shape, {error, user_facing_error: {is_panic, message, meta, error_code}}, with the codes and
// phrases that LiteLLM decides by: can it reach the database, was the write never sent, is it worth a reconnect.

const EXTERNAL = 'P2036' // what the engine says when the adapter threw; meta.id is the number under which it is kept
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'])
const CLOSED = new Set(['ECONNRESET', 'EPIPE'])
const POOL_EXHAUSTED = 'timeout exceeded when trying to connect'
const CONNECT_TIMED_OUT = /^(timeout expired|Connection terminated due to connection timeout)$/
const CONNECTION_LOST = /^(Connection terminated|Client has encountered a connection error|Client was closed)/

export const userFacing = (code, message, meta = {}) => ({ is_panic: false, message, meta, error_code: code })

/** {"errors": […]}: what a failed query answers, with status 200. */
export const queryFailure = (facing) => ({ errors: [{ error: facing.message, user_facing_error: facing }] })

/** Errors that the adapter threw, kept until the engine's answer that names them has been read. */
export class Failures {
  #kept = new Map()
  #next = 0

  /** The driver-adapter error value for a thrown error: Postgres' own refusals are told apart from lost connections. */
  keep(error) {
    if (typeof error?.code === 'string' && typeof error.severity === 'string') {
      const { code, severity, message, detail, column, hint } = error
      return { kind: 'Postgres', code, severity, message, detail, column, hint }
    }
    this.#next = (this.#next + 1) % 2 ** 31
    this.#kept.set(this.#next, error)
    return { kind: 'GenericJs', id: this.#next }
  }

  take(id) {
    const error = this.#kept.get(id)
    this.#kept.delete(id)
    return error
  }
}

/** The engine's answer with each adapter error named by its Prisma code. */
export function nameErrors(answer, failures, database) {
  const named = (facing) => {
    if (facing?.error_code !== EXTERNAL) return facing
    const cause = failures.take(facing.meta?.id)
    const better = connectionError(cause, database)
    return facing.batch_request_idx === undefined ? better : { ...better, batch_request_idx: facing.batch_request_idx }
  }
  if (answer.error_code) return named(answer)
  const repaired = (error) => {
    const facing = named(error.user_facing_error)
    return facing === error.user_facing_error ? error : { error: facing.message, user_facing_error: facing }
  }
  if (answer.errors) answer.errors = answer.errors.map(repaired)
  for (const part of answer.batchResult ?? []) if (part.errors) part.errors = part.errors.map(repaired)
  return answer
}

export function connectionError(cause, { host, port, connectionLimit, poolTimeout }) {
  const code = cause?.code ?? cause?.errors?.[0]?.code // happy eyeballs: one error for each address tried
  const message = String(cause?.message ?? '')
  if (message === POOL_EXHAUSTED) {
    const timeout = poolTimeout / 1000
    const text = `Timed out fetching a new connection from the connection pool. (Pool timeout: ${timeout} s, connection limit: ${connectionLimit})`
    return userFacing('P2024', text, { connection_limit: connectionLimit, timeout })
  }
  if (UNREACHABLE.has(code) || CONNECT_TIMED_OUT.test(message)) {
    const text = `Can't reach database server at \`${host}:${port}\`\n\nPlease make sure your database server is running at \`${host}:${port}\`.`
    return userFacing('P1001', text, { database_host: host, database_port: port })
  }
  if (CLOSED.has(code) || CONNECTION_LOST.test(message)) {
    return userFacing('P1017', 'Server has closed the connection (connection closed).') // LiteLLM looks for the phrase
  }
  return { is_panic: false, message: `Error in the database connection: ${message || code || "unknown"}`, meta: {} }
}
