// The HTTP interface of Prisma's native engine binary, as prisma-client-py speaks it.
import { createServer } from 'node:http'
import { Metrics } from './metrics.js'

const STATUS = { P2028: 422 } // a transaction that ended; anything else the engine refuses is a 500
const TRANSACTION = /^\/transaction\/([^/]+)\/(commit|rollback)$/
const KEEP_ALIVE = 75_000 // longer than any client pools a connection, so that none is closed under a request

export class Server {
  #engine
  #metrics
  #withMetrics
  #http
  #running = 0
  #draining = false
  #idle = () => {}

  constructor(engine, { metrics }) {
    this.#engine = engine
    this.#metrics = new Metrics()
    this.#withMetrics = metrics
    this.#http = createServer({ keepAliveTimeout: KEEP_ALIVE, requestTimeout: 0 }, async (request, response) => {
      this.#running += 1
      try {
        const { status = 200, body, type = 'application/json' } = await this.#answer(request)
        const text = typeof body === 'string' ? body : JSON.stringify(body)
        const headers = { 'content-type': type, ...(this.#draining ? { connection: 'close' } : {}) }
        response.writeHead(status, headers).end(text)
      } catch (error) {
        if (error instanceof WebAssembly.RuntimeError) throw error
        process.stderr.write(`query engine: ${error.name} at ${request.method} ${request.url.split('?')[0]}\n`)
        response.writeHead(500, { 'content-type': 'application/json', connection: 'close' })
        response.end(JSON.stringify({ is_panic: false, message: `the query engine failed: ${error.name}`, meta: {} }))
      } finally {
        this.#running -= 1
        if (!this.#running) this.#idle()
      }
    })
  }

  listen({ host, port }) {
    return new Promise((resolve, reject) => this.#http.once('error', reject).listen(port, host, resolve))
  }

  /** Take no more requests; resolve when those under way have been answered. */
  async drain() {
    this.#draining = true
    this.#http.close()
    this.#http.closeIdleConnections()
    if (this.#running) await new Promise((resolve) => (this.#idle = resolve))
  }

  async #answer(request) {
    const { pathname, searchParams } = new URL(request.url, 'http://engine')
    if (request.method === 'GET') return this.#get(pathname, searchParams, request)
    if (request.method !== 'POST') return { status: 405, body: {} }
    if (pathname === '/') return this.#query(request)
    if (pathname === '/transaction/start') return transactionAnswer(await this.#engine.startTransaction(await json(request)))
    const [, id, action] = TRANSACTION.exec(pathname) ?? []
    return action ? transactionAnswer(await this.#engine[action](id)) : { status: 404, body: {} }
  }

  async #get(path, parameters, request) {
    if (path === '/status') return { body: { status: 'ok' } }
    if (path !== '/metrics' || !this.#withMetrics) return { status: 404, body: {} }
    const labels = (await json(request)) ?? {}
    const connections = this.#engine.connections()
    if (parameters.get('format') === 'json') return { body: this.#metrics.json(connections, labels) }
    return { body: this.#metrics.prometheus(connections, labels), type: 'text/plain; version=0.0.4' }
  }

  async #query(request) {
    const body = await json(request)
    if (typeof body?.query !== 'string' && !Array.isArray(body?.batch)) return { status: 400, body: {} }
    const transaction = request.headers['x-transaction-id']
    return { body: await this.#metrics.counting(() => this.#engine.query(body, transaction)) }
  }
}

function transactionAnswer(answer) {
  if (!('message' in answer)) return { body: answer }
  const notFound = /not found/i.test(answer.meta?.error ?? '')
  const tooLate = /Unable to start/.test(answer.message)
  return { status: notFound ? 404 : tooLate ? 504 : STATUS[answer.error_code] ?? 500, body: answer }
}

/** The request's JSON body, or null when it is empty or not JSON. */
async function json(request) {
  const pieces = []
  for await (const piece of request) pieces.push(piece)
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'))
  } catch {
    return null
  }
}
