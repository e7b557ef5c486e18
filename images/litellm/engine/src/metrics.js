// Counters and gauges under the names Prisma gives them, in its two formats. The engine's histograms are not kept.

export class Metrics {
  #queries = 0
  #active = 0

  async counting(work) {
    this.#queries += 1
    this.#active += 1
    try {
      return await work()
    } finally {
      this.#active -= 1
    }
  }

  #values({ open, idle, busy, waiting }) {
    return {
      counters: [['prisma_client_queries_total', this.#queries, 'Total number of Prisma Client queries executed']],
      gauges: [
        ['prisma_client_queries_active', this.#active, 'Number of currently active Prisma Client queries'],
        ['prisma_client_queries_wait', waiting, 'Number of queries waiting for a database connection'],
        ['prisma_pool_connections_open', open, 'Number of open database connections'],
        ['prisma_pool_connections_busy', busy, 'Number of database connections executing a query'],
        ['prisma_pool_connections_idle', idle, 'Number of open database connections not in use'],
      ],
    }
  }

  json(connections, labels) {
    const shape = ([key, value, description]) => ({ key, value, labels, description })
    const { counters, gauges } = this.#values(connections)
    return { counters: counters.map(shape), gauges: gauges.map(shape), histograms: [] }
  }

  prometheus(connections, labels) {
    const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(String(value))}`)
    const suffix = pairs.length ? `{${pairs.join(',')}}` : ''
    const lines = (type) => ([name, value, help]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}${suffix} ${value}\n`
    const { counters, gauges } = this.#values(connections)
    return [...counters.map(lines('counter')), ...gauges.map(lines('gauge'))].join('\n')
  }
}
