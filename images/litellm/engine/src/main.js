// Start, serve, and end with the parent: the process that prisma-client-py takes for Prisma's query engine binary.
import { databaseSettings, databaseUrl, readArguments, readSchemaText } from './settings.js'

// The commit of Prisma's engines that 5.17.0 ships; prisma-client-py compares it with the one it expects.
const VERSION = '393aa359c9ad4a4bb28630fb5613f9c281cde053'
const PARENT_CHECK = 1000 // milliseconds
const DRAIN_LIMIT = 30_000
const EXIT_PANIC = 101 // what a Rust process exits with after a panic; LiteLLM then starts another engine

const log = (message) => process.stderr.write(`query engine: ${message}\n`)

function reporter() {
  let last = 0
  return (error) => {
    if (Date.now() - last > 1000) log(`lost a database connection (${error.code ?? error.message})`)
    last = Date.now()
  }
}

async function main() {
  const parent = process.ppid // read first: a parent that dies while this starts must be noticed
  const options = readArguments(process.argv.slice(2))
  if (options.version) return void process.stdout.write(`query-engine ${VERSION}\n`)
  // Loaded here, because LiteLLM asks for the version before each start and waits for the answer.
  const [{ createEngine }, { parseSchema }, { Server }] = await Promise.all([
    import('./engine.js'),
    import('./schema.js'),
    import('./server.js'),
  ])
  const schema = parseSchema(readSchemaText())
  const database = databaseSettings(databaseUrl(schema.datasource))
  const engine = await createEngine({ schema, database, rawQueries: options.rawQueries, report: reporter() })
  const server = new Server(engine, { metrics: options.metrics })
  process.on('uncaughtException', (error) => {
    // A WebAssembly trap surfaces here: the engine's memory cannot be trusted, and its callers must not wait for ever.
    log(`ended by ${error.name}: ${error instanceof WebAssembly.RuntimeError ? 'panic' : error.message}`)
    process.exit(EXIT_PANIC)
  })

  let ending = false
  const end = async () => {
    if (ending) return
    ending = true
    setTimeout(() => process.exit(1), DRAIN_LIMIT).unref()
    await server.drain()
    // Interactive transactions still open were not committed: closing their connections rolls them back.
    process.exit(0)
  }
  process.on('SIGTERM', end).on('SIGINT', end)
  setInterval(() => process.ppid !== parent && end(), PARENT_CHECK).unref()
  await server.listen(options)
}

main().catch((error) => {
  log(`cannot start: ${error.message}`)
  process.exit(1)
})
